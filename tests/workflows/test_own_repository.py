"""Our own repository is the first caller of its workflows: by `./`, from a clone of the commit that is checked out."""

from __future__ import annotations

import subprocess

import pytest

from tests.adapters.github_api import TOKEN, GitHubApi
from tests.workflows.conftest import Second
from tests.workflows.runner import ROOT, GitHub, tool

pytestmark = pytest.mark.acceptance


@pytest.fixture
def own(tmp_path):
    tool("act")
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone of the repository: there is nothing to clone")
    subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, tmp_path / "own"], check=True)
    with GitHubApi(repository="acme/tumours") as api:
        repository = Second(tmp_path / "own", GitHub(tmp_path, api.url), api)
        repository.git("checkout", "--quiet", "-B", "main")
        yield repository


def test_a_pull_request_that_changes_words_is_a_quick_green_here_too(own):
    own.branch("words")
    (own.root / "README.md").write_text("Better words.\n")
    own.commit("Better words")
    ran = own.pull_request(3)
    assert (ran.code, ran.red) == (0, []), ran
    assert ran.jobs == {"plan", "report"}
    assert "Nothing that a model reads has changed" in ran.summary
    (status,) = own.api.kept.statuses
    assert (status["context"], status["state"]) == ("mlops/card-fraud", "success")
    assert {one.headers["Authorization"] for one in own.api.requests} == {f"Bearer {TOKEN}"}
