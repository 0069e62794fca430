"""Each event says which commit, pull request and base a run is about, and whether it comes from a fork."""

from __future__ import annotations

import json

import pytest

from mlops.adapters.github.event import current
from mlops.errors import OutsideError


def read(tmp_path, name, payload, **more):
    file = tmp_path / "event.json"
    file.write_text(payload if isinstance(payload, str) else json.dumps(payload))
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": name,
        "GITHUB_EVENT_PATH": str(file),
        "GITHUB_REPOSITORY": "ada/shop",
        "GITHUB_SHA": "c" * 40,
        "GITHUB_RUN_ID": "7",
        "GITHUB_WORKSPACE": str(tmp_path),
        **more,
    }
    return current(environ)


def pull_request(home: str | None) -> dict:
    head = {"sha": "a" * 40, "ref": "better", "repo": {"full_name": home} if home else None}
    base = {"sha": "b" * 40, "ref": "main", "repo": {"full_name": "ada/shop"}}
    return {"number": 12, "pull_request": {"number": 12, "head": head, "base": base}}


def test_outside_of_actions_there_is_no_event():
    assert current({"GITHUB_SHA": "c" * 40}) is None


def test_a_pull_request_is_about_its_head_and_not_github_s_merge_of_it(tmp_path):
    event = read(tmp_path, "pull_request", pull_request("ada/shop"))
    assert (event.sha, event.base, event.number, event.fork) == ("a" * 40, "b" * 40, 12, False)
    assert event.run_url == "https://github.com/ada/shop/actions/runs/7"


@pytest.mark.parametrize("home", ["eve/shop", None], ids=["fork", "deleted-fork"])
def test_a_pull_request_from_elsewhere_is_a_fork_s(tmp_path, home):
    assert read(tmp_path, "pull_request", pull_request(home)).fork


@pytest.mark.parametrize(
    ("name", "payload", "base"),
    [
        ("push", {"before": "d" * 40, "after": "c" * 40}, "d" * 40),
        ("push", {"before": "0" * 40}, ""),
        ("merge_group", {"merge_group": {"base_sha": "e" * 40, "head_sha": "c" * 40}}, "e" * 40),
        ("workflow_dispatch", {"inputs": {"environment": "staging"}}, ""),
        ("schedule", {"schedule": "0 5 * * *"}, ""),
        ("repository_dispatch", {"action": "retrain", "client_payload": {"model": "fraud"}}, ""),
        ("odd", {"pull_request": "a word", "before": None}, ""),
    ],
)
def test_other_events_have_no_pull_request(tmp_path, name, payload, base):
    event = read(tmp_path, name, payload)
    assert (event.name, event.sha, event.base, event.number, event.fork) == (name, "c" * 40, base, None, False)
    assert event.payload == payload


def test_an_event_file_that_is_no_json_is_told(tmp_path):
    with pytest.raises(OutsideError, match="is not the JSON of an event"):
        read(tmp_path, "push", "{")


def test_a_file_is_named_from_the_repository_s_root(tmp_path):
    event = read(tmp_path, "push", {})
    assert event.within(tmp_path / "shop/features/a.py") == "shop/features/a.py"
    assert event.blob_url("shop/a b.py", 3) == f"https://github.com/ada/shop/blob/{'c' * 40}/shop/a%20b.py#L3"
