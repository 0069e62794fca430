"""One comment of each project on a pull request, and one status of each gate on its commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.adapters.github.api import GitHub
from mlops.adapters.github.comments import LIMIT, marker, set_status, upsert
from mlops.adapters.github.event import Event
from tests.adapters.github_api import BOT, REPOSITORY, TOKEN, GitHubApi


@pytest.fixture
def server():
    with GitHubApi(page=2) as api:
        yield api


def github(server, run: str = "7") -> GitHub:
    event = Event(name="pull_request", repository=REPOSITORY, sha="a" * 40, workspace=Path(), api=server.url, run=run)
    return GitHub(event, TOKEN)


def bodies(server) -> list[str]:
    return [one["body"] for one in server.kept.comments[3]]


def test_a_later_run_updates_the_comment_in_its_place(server):
    server.kept.comments[3] = [{"id": n, "body": "hello", "user": {"login": "bob", "type": "User"}} for n in (1, 2, 3)]
    assert upsert(github(server), 3, "shop", "first").how == "written"
    told = upsert(github(server, "8"), 3, "shop", "second")
    assert told.how == "updated"
    assert told.url.startswith("https://github.com/ada/shop/pull/3#issuecomment-")
    assert bodies(server)[3:] == [f"{marker('shop', 8)}\nsecond"]


def test_two_projects_of_a_repository_have_a_comment_each(server):
    upsert(github(server), 3, "shop", "of shop")
    upsert(github(server), 3, "shop-2", "of the second")
    upsert(github(server), 3, "shop", "of shop again")
    assert [body.partition("\n")[2] for body in bodies(server)] == ["of shop again", "of the second"]


def test_a_run_that_ends_late_leaves_the_newer_report(server):
    upsert(github(server, "9"), 3, "shop", "newer")
    assert upsert(github(server, "8"), 3, "shop", "older").how == "left"
    assert bodies(server) == [f"{marker('shop', 9)}\nnewer"]


def test_a_person_s_comment_is_never_taken_for_ours(server):
    theirs = f"{marker('shop', 1)}\nlooks good to me"
    server.kept.comments[3] = [{"id": 1, "body": theirs, "user": {"login": "eve", "type": "User"}}]
    assert upsert(github(server), 3, "shop", "ours").how == "written"
    assert bodies(server)[0] == theirs


def test_a_quoted_marker_is_not_ours_either(server):
    server.kept.comments[3] = [{"id": 1, "body": f"> {marker('shop', 1)}", "user": BOT}]
    assert upsert(github(server), 3, "shop", "ours").how == "written"


@pytest.mark.parametrize("key", ["a --> <script>", "x run 3 -->", "ünï", "a\nb"])
def test_a_marker_cannot_be_left_by_a_project_s_name(server, key):
    assert marker(key, 1).count("-->") == 1
    assert "\n" not in marker(key, 1)
    upsert(github(server), 3, key, "one")
    assert upsert(github(server), 3, key, "two").how == "updated"


def test_what_github_would_refuse_is_not_sent(server):
    with pytest.raises(ValueError, match="65,536"):
        upsert(github(server), 3, "shop", "x" * LIMIT)
    assert server.requests == []


def test_a_status_names_its_gate_and_links_the_run(server):
    set_status(github(server), "mlops/shop/check-model", "failure", "x" * 200)
    (told,) = server.kept.statuses
    assert told["sha"] == "a" * 40
    assert told["context"] == "mlops/shop/check-model"
    assert told["target_url"] == "https://github.com/ada/shop/actions/runs/7"
    assert len(told["description"]) == 140
