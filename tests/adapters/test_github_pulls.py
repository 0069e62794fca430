"""A workflow opens one pull request, however often it asks, and starts another workflow; without git."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from mlops.adapters.github.api import GitHub
from mlops.adapters.github.event import Event
from mlops.adapters.github.pulls import dispatch, open_pull_request
from mlops.errors import NotPermitted, UsageError
from tests.adapters.github_api import REPOSITORY, TOKEN, GitHubApi


@pytest.fixture
def server():
    with GitHubApi() as api:
        yield api


@pytest.fixture
def github(server):
    event = Event(name="schedule", repository=REPOSITORY, sha="c" * 40, workspace=Path(), api=server.url)
    with GitHub(event, TOKEN) as one:
        yield one


def propose(github, text: bytes = b"new\n", title: str = "Retrain churn"):
    files = {"reviews/churn.md": text, "models/a b.py": b"\xff\x00"}
    return open_pull_request(github, branch="mlops/retrain-churn", title=title, body="because", files=files)


def test_the_files_are_one_commit_on_top_of_the_default_branch(server, github):
    pull = propose(github)
    assert pull["html_url"] == "https://github.com/ada/shop/pull/11"
    (asked,) = server.asked("POST", "/pulls")
    assert asked.body == {"title": "Retrain churn", "body": "because", "head": "mlops/retrain-churn", "base": "main"}
    commit = server.kept.objects[server.kept.refs["heads/mlops/retrain-churn"]]
    assert commit["parents"] == ["1" * 40]
    tree = server.kept.objects[commit["tree"]["sha"]]
    assert tree["base_tree"] == "2" * 40
    written = {one["path"]: base64.b64decode(server.kept.objects[one["sha"]]["content"]) for one in tree["tree"]}
    assert written == {"reviews/churn.md": b"new\n", "models/a b.py": b"\xff\x00"}


def test_a_second_call_moves_the_branch_and_updates_the_one_pull_request(server, github):
    first = propose(github)
    before = server.kept.refs["heads/mlops/retrain-churn"]
    second = propose(github, b"newer\n", "Retrain churn again")
    assert first["number"] == second["number"]
    assert [one["title"] for one in server.kept.pulls] == ["Retrain churn again"]
    assert server.kept.refs["heads/mlops/retrain-churn"] != before
    assert server.kept.refs["heads/main"] == "1" * 40


def test_a_repository_that_forbids_it_names_its_setting(server, github):
    said = "GitHub Actions is not permitted to create or approve pull requests."
    server.fail("POST", "/pulls$", 403, {"message": said})
    with pytest.raises(NotPermitted) as refused:
        propose(github)
    assert "Settings, Actions, General" in refused.value.next_step


def test_a_pull_request_of_the_base_itself_is_refused(github):
    with pytest.raises(UsageError, match="needs a branch beside main"):
        open_pull_request(github, branch="main", title="t", body="b", files={})


def test_an_event_starts_another_workflow(server, github):
    dispatch(github, "retrain", {"model": "churn", "because": "drift"})
    assert server.kept.dispatches == [
        {"event_type": "retrain", "client_payload": {"model": "churn", "because": "drift"}}
    ]


@pytest.mark.parametrize(
    ("name", "payload"),
    [("", {}), ("x" * 101, {}), ("retrain", {str(n): n for n in range(11)}), ("r", {"a": "x" * 70_000})],
)
def test_an_event_that_github_would_refuse_is_refused_before(server, github, name, payload):
    with pytest.raises(UsageError):
        dispatch(github, name, payload)
    assert server.requests == []
