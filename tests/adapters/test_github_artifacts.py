"""What a run left is unpacked whole or not at all, bounded; and whose pull request a commit on main came from."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from mlops.adapters.github.api import GitHub
from mlops.adapters.github.artifacts import Artifact, fetch, head_of
from mlops.adapters.github.event import Event
from mlops.errors import OutsideError
from tests.adapters.github_api import REPOSITORY, TOKEN, GitHubApi

HEAD, MERGED = "a" * 40, "d" * 40


@pytest.fixture
def server():
    with GitHubApi() as api:
        api.kept.pulls_of[MERGED] = [pull(REPOSITORY)]
        yield api


@pytest.fixture
def github(server):
    event = Event(name="push", repository=REPOSITORY, sha=MERGED, workspace=Path(), api=server.url)
    with GitHub(event, TOKEN) as one:
        yield one


def pull(home: str | None, *, merged: str = MERGED):
    head = {"sha": HEAD, "repo": {"full_name": home} if home else None}
    return {"number": 3, "merged_at": "2026-11-30T10:00:00Z", "merge_commit_sha": merged, "head": head}


def test_the_head_of_the_pull_request_that_became_a_commit_is_found(github):
    assert head_of(github, MERGED) == HEAD


@pytest.mark.parametrize("home", ["eve/shop", None], ids=["fork", "deleted-fork"])
def test_a_pull_request_from_a_fork_has_no_work_to_reuse(server, github, home):
    """Promise 21, a part: what a fork made reaches nothing."""
    server.kept.pulls_of[MERGED] = [pull(home)]
    assert head_of(github, MERGED) == ""


def test_a_pull_request_that_only_holds_the_commit_is_not_the_one_that_became_it(server, github):
    server.kept.pulls_of[MERGED] = [pull(REPOSITORY, merged="e" * 40)]
    assert head_of(github, MERGED) == ""


def test_an_artifact_is_unpacked_whole_and_nothing_is_left_beside(server, github, tmp_path):
    number = server.artifact(9, "state", {"state.tar": b"new", "more/a.txt": b"a"})["id"]
    one = Artifact(id=number, name="state", run=9, sha=HEAD, size=10, url="u")
    folder = fetch(github, one, tmp_path / "state")
    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == {
        "state.tar": b"new",
        "more/a.txt": b"a",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def packed(name: str, data: bytes = b"x", *, link: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (0o120777 if link else 0o100644) << 16
        file.writestr(entry, data)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        packed("../out"),
        packed("/etc/out"),
        packed("a\\..\\out"),
        packed("link", b"/etc/passwd", link=True),
        packed("big", bytes(5000)),
        b"no zip at all",
    ],
    ids=["parent", "absolute", "backslash", "link", "bomb", "garbage"],
)
def test_an_artifact_that_is_not_what_it_should_be_leaves_nothing(server, github, tmp_path, data):
    server.kept.zips[5] = data
    one = Artifact(id=5, name="state", run=7, sha=HEAD, size=10, url="u")
    with pytest.raises(OutsideError):
        fetch(github, one, tmp_path / "state", most=4000)
    assert list(tmp_path.iterdir()) == []


def test_one_that_says_it_is_too_large_is_not_asked_for(server, github, tmp_path):
    one = Artifact(id=5, name="state", run=7, sha=HEAD, size=5 << 30, url="u")
    with pytest.raises(OutsideError, match="has 5120 MB, allowed are 4096"):
        fetch(github, one, tmp_path / "state")
    assert server.requests == []
