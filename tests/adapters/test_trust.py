"""A run that executes a fork's code is known by GitHub's event, and an event that cannot be read counts as a fork's."""

from __future__ import annotations

import json

import pytest

from mlops.adapters import trust


@pytest.fixture
def event(monkeypatch, tmp_path):
    def told(name, content):
        file = tmp_path / "event.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("GITHUB_EVENT_NAME", name)
        monkeypatch.setenv("GITHUB_REPOSITORY", "team/churn")
        monkeypatch.setenv("GITHUB_EVENT_PATH", str(file))

    return told


def pull_request(head):
    return {
        "repository": {"full_name": "team/churn"},
        "pull_request": {"number": 7, "head": {"repo": None if head is None else {"full_name": head}}},
    }


def test_a_laptop_is_trusted(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert trust.fork() == ""


def test_a_push_is_trusted(event):
    event("push", {"repository": {"full_name": "team/churn"}})
    assert trust.fork() == ""


def test_a_pull_request_of_the_repository_itself_is_trusted(event):
    event("pull_request", pull_request("team/churn"))
    assert trust.fork() == ""


@pytest.mark.parametrize("name", ["pull_request", "pull_request_target"])
def test_a_fork_s_pull_request_is_named(event, name):
    event(name, pull_request("ann/churn"))
    assert trust.fork() == "ann/churn, pull request 7"


def test_a_fork_that_is_deleted_is_still_one(event):
    event("pull_request", pull_request(None))
    assert trust.fork() == "a deleted repository, pull request 7"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"pull_request": {"head": 3}}', '{"pull_request": {}}'])
def test_an_event_that_cannot_be_read_is_not_trusted(event, content):
    event("pull_request", content)
    assert trust.fork() != ""
