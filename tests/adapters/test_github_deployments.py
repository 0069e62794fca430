"""Each move is a deployment of GitHub's, with its end, its log, and what it replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.adapters.github.api import GitHub
from mlops.adapters.github.deployments import Move, begin, end
from mlops.adapters.github.event import Event
from tests.adapters.github_api import REPOSITORY, TOKEN, GitHubApi


@pytest.fixture
def server():
    with GitHubApi() as api:
        yield api


@pytest.fixture
def github(server):
    event = Event(name="push", repository=REPOSITORY, sha="c" * 40, workspace=Path(), api=server.url, run="7")
    with GitHub(event, TOKEN) as one:
        yield one


def done(github, release: str, family: str = "churn", *, live: bool = True, **more) -> int:
    move = Move(action="deploy", environment="production", family=family, release=release, **more)
    number = begin(github, move)
    end(github, number, move, live=live, said=f"{release} is live")
    return number


def states(server, number: int) -> list[str]:
    return [one["state"] for one in server.kept.deployment_statuses[number]]


def test_a_move_begins_and_ends_with_its_log_and_its_place(server, github):
    number = done(github, "churn_v1-aa", url="https://churn.example.com", reason="it is\nbetter")
    (one,) = server.kept.deployments
    assert one["task"] == "deploy:churn"
    assert one["production_environment"] is True
    assert one["description"] == "it is better"
    assert states(server, number) == ["in_progress", "success"]
    last = server.kept.deployment_statuses[number][-1]
    assert last["log_url"] == "https://github.com/ada/shop/actions/runs/7"
    assert last["environment_url"] == "https://churn.example.com"
    (asked,) = server.asked("POST", "/deployments")
    assert asked.body["required_contexts"] == []
    assert asked.body["auto_merge"] is False


def test_what_was_live_of_the_family_is_inactive_and_another_family_is_not(server, github):
    first, other = done(github, "churn_v1-aa"), done(github, "fraud_v1-bb", "fraud")
    second = done(github, "churn_v1-cc")
    third = done(github, "churn_v1-dd")
    assert [states(server, n)[-1] for n in (first, other, second, third)] == [
        "inactive",
        "success",
        "inactive",
        "success",
    ]
    assert states(server, first).count("inactive") == 1


def test_what_failed_leaves_what_is_live(server, github):
    first = done(github, "churn_v1-aa")
    failed = done(github, "churn_v1-bb", live=False)
    assert (states(server, first)[-1], states(server, failed)[-1]) == ("success", "failure")
    assert states(server, done(github, "churn_v1-cc"))[-1] == "success"
    assert states(server, first)[-1] == "inactive"
