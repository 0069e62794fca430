"""GitHub is asked patiently, and every way to be refused says what to do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mlops.adapters.github import api as module
from mlops.adapters.github.api import GitHub
from mlops.adapters.github.event import Event
from mlops.errors import NotPermitted, OutsideError
from tests.adapters.github_api import REPOSITORY, TOKEN, GitHubApi

NEEDS = "pull-requests: write"


@pytest.fixture
def server():
    with GitHubApi(page=2) as api:
        yield api


def asking(server: GitHubApi, *, token: str = TOKEN, retries: int = 2) -> GitHub:
    event = Event(name="push", repository=REPOSITORY, sha="c" * 40, workspace=Path(), api=server.url)
    return GitHub(event, token, retries=retries)


def test_a_list_is_read_to_its_last_page(server):
    server.kept.comments[1] = [{"id": n} for n in range(5)]
    with asking(server) as github:
        assert [one["id"] for one in github.pages("/issues/1/comments", needs=NEEDS)] == [0, 1, 2, 3, 4]
    assert len(server.requests) == 3
    assert {one.headers["X-GitHub-Api-Version"] for one in server.requests} == {"2022-11-28"}


def test_a_token_does_not_follow_a_page_to_another_host(server):
    server.fail("GET", "comments", 200, [{"id": 1}], Link='<https://evil.example/next>; rel="next"')
    with asking(server) as github:
        assert len(list(github.pages("/issues/1/comments", needs=NEEDS))) == 1


def test_trouble_of_github_s_own_is_asked_again(server):
    server.fail("GET", "comments", 502, times=2)
    with asking(server) as github:
        assert list(github.pages("/issues/1/comments", needs=NEEDS)) == []
    assert [one.status for one in server.requests] == [502, 502, 200]


def test_what_may_have_been_done_is_not_done_twice(server):
    server.fail("POST", "comments", 502, times=1)
    with asking(server) as github, pytest.raises(OutsideError, match="GitHub answered 502"):
        github.send("POST", "/issues/1/comments", needs=NEEDS, body={"body": "x"})
    assert len(server.requests) == 1


def test_a_limit_that_ends_soon_is_waited_for(server):
    server.fail(
        "POST", "comments", 403, {"message": "You have exceeded a secondary rate limit"}, times=1, Retry_After="1"
    )
    begun = time.monotonic()
    with asking(server) as github:
        assert github.send("POST", "/issues/1/comments", needs=NEEDS, body={"body": "x"})["body"] == "x"
    assert time.monotonic() - begun >= 1.0


def test_a_limit_that_lasts_is_an_error_with_its_end(server):
    reset = str(int(time.time()) + 900)
    server.fail("GET", "comments", 403, X_RateLimit_Remaining="0", X_RateLimit_Reset=reset)
    with asking(server) as github, pytest.raises(OutsideError, match=r"rate limit is used up until \d\d:\d\d:\d\d UTC"):
        list(github.pages("/issues/1/comments", needs=NEEDS))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "permission"),
    [
        ({}, "pull-requests: write"),
        ({"X_Accepted_GitHub_Permissions": "issues=write; pull_requests=write"}, "issues: write"),
    ],
)
def test_a_missing_permission_is_named_as_a_workflow_writes_it(server, headers, permission):
    server.fail("POST", "comments", 403, {"message": "Resource not accessible by integration"}, **headers)
    with asking(server) as github, pytest.raises(NotPermitted) as refused:
        github.send("POST", "/issues/1/comments", needs=NEEDS, body={"body": "x"})
    assert refused.value.permission == permission
    assert f"`{permission}`" in refused.value.next_step
    assert "Resource not accessible by integration" in refused.value.message


def test_a_wrong_token_is_told_without_being_shown(server):
    with asking(server, token="ghs_secret") as github, pytest.raises(OutsideError, match="does not accept") as refused:
        github.get("", needs=NEEDS)
    assert "ghs_secret" not in str(refused.value)


def test_what_is_not_there_may_be_what_the_token_cannot_see(server):
    with asking(server) as github, pytest.raises(OutsideError, match="no such thing, or the token cannot see it"):
        github.get("/nothing", needs="contents: read")


def test_what_github_refuses_is_told_in_its_words(server):
    with asking(server) as github, pytest.raises(OutsideError, match=r"422.*Body is too long"):
        github.send("POST", "/issues/1/comments", needs=NEEDS, body={"body": "x" * 70_000})


def test_no_answer_is_told_with_the_address():
    with GitHubApi() as gone:
        github = asking(gone, retries=0)
    with github, pytest.raises(OutsideError, match=r"127\.0\.0\.1.* does not answer"):
        github.get("", needs=NEEDS)


def test_a_netrc_does_not_replace_the_token(server, tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with asking(server) as github:
        assert github.get("", needs=NEEDS)["full_name"] == REPOSITORY


def test_a_download_that_is_too_large_leaves_nothing(server, tmp_path):
    one = server.artifact(7, "state", {"a": bytes(range(256)) * 2000})
    path = f"/actions/artifacts/{one['id']}/zip"
    with asking(server) as github:
        github.download(path, tmp_path / "whole.zip", needs="actions: read", most=1 << 20)
        with pytest.raises(OutsideError, match="has more than 0 MB"):
            github.download(path, tmp_path / "cut.zip", needs="actions: read", most=100)
    assert [file.name for file in tmp_path.iterdir()] == ["whole.zip"]
    assert (tmp_path / "whole.zip").read_bytes() == server.kept.zips[one["id"]]


def test_a_job_without_a_token_has_no_client(tmp_path, server):
    environ = server.environment(tmp_path)
    assert module.client(environ=environ) is not None
    assert module.client(environ={**environ, "GITHUB_TOKEN": ""}) is None
    assert module.client(environ={"GITHUB_TOKEN": TOKEN}) is None
