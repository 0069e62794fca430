"""What a merged pull request's run left is found from the commit on main, bounded, and never a fork's."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from mlops.adapters.github.api import GitHub
from mlops.adapters.github.artifacts import Artifact, artifacts_of, fetch, of_pull_request
from mlops.adapters.github.event import Event
from mlops.errors import NothingToDo, OutsideError
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


def run(server, number: int, home: str = REPOSITORY, sha: str = HEAD, event: str = "pull_request"):
    one = {"id": number, "head_sha": sha, "event": event, "status": "completed", "conclusion": "success"}
    server.kept.runs.append({**one, "head_repository": {"full_name": home}})


def test_the_newest_artifact_of_the_pull_request_s_head_is_found_and_unpacked(server, github, tmp_path):
    run(server, 7)
    run(server, 9)
    server.artifact(7, "state", {"state.tar": b"old"})
    server.artifact(9, "state", {"state.tar": b"new", "more/a.txt": b"a"})
    server.artifact(9, "report", {"report.html": b"page"})
    found = of_pull_request(github, MERGED, "state")
    assert (found.run, found.sha, found.url) == (9, HEAD, "https://github.com/ada/shop/actions/runs/9")
    folder = fetch(github, found, tmp_path / "state")
    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == {
        "state.tar": b"new",
        "more/a.txt": b"a",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize("home", ["eve/shop", None], ids=["fork", "deleted-fork"])
def test_a_pull_request_from_a_fork_has_no_work_to_reuse(server, github, home):
    """Promise 21, a part: what a fork made reaches nothing."""
    server.kept.pulls_of[MERGED] = [pull(home)]
    run(server, 7)
    server.artifact(7, "state", {"state.tar": b"x"})
    with pytest.raises(NothingToDo, match=r"no pull request of ada/shop became dddddddddddd"):
        of_pull_request(github, MERGED, "state")


def test_a_fork_s_run_of_the_same_commit_is_refused(server, github):
    """A fork can push our commit, and upload an artifact of our name in its own run of it."""
    run(server, 9, home="eve/shop")
    server.artifact(9, "state", {"state.tar": b"evil"})
    with pytest.raises(NothingToDo, match="left an artifact 'state'"):
        of_pull_request(github, MERGED, "state")
    run(server, 7)
    server.artifact(7, "state", {"state.tar": b"ours"})
    assert of_pull_request(github, MERGED, "state").run == 7


def test_a_pull_request_that_only_holds_the_commit_is_not_the_one_that_became_it(server, github):
    server.kept.pulls_of[MERGED] = [pull(REPOSITORY, merged="e" * 40)]
    with pytest.raises(NothingToDo):
        of_pull_request(github, MERGED, "state")


def test_an_expired_artifact_is_none(server, github):
    run(server, 7)
    server.artifact(7, "state", {"a": b"x"})["expired"] = True
    assert list(artifacts_of(github, HEAD, "state")) == []


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
