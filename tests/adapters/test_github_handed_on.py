"""What a run takes over from earlier runs: of whom, of which branch, and never of a fork."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.adapters.github.api import GitHub
from mlops.adapters.github.event import Event
from mlops.adapters.github.handed_on import computed, download, environment
from mlops.errors import OutsideError
from tests.adapters.github_api import REPOSITORY, TOKEN, GitHubApi

HEAD, MERGED = "a" * 40, "d" * 40
HERE = {"full_name": REPOSITORY, "default_branch": "main"}


@pytest.fixture
def server():
    with GitHubApi(page=2) as api:
        home = {"full_name": REPOSITORY}
        pull = {"merged_at": "2026-11-30T10:00:00Z", "merge_commit_sha": MERGED, "head": {"sha": HEAD, "repo": home}}
        api.kept.pulls_of[MERGED] = [pull]
        yield api


def asked(server, name: str = "push", payload=None, *, fork: bool = False) -> GitHub:
    whole = {"repository": HERE, **(payload or {})}
    event = Event(
        name=name, repository=REPOSITORY, sha=MERGED, workspace=Path(), api=server.url, payload=whole, fork=fork
    )
    return GitHub(event, TOKEN)


def state(server, run: int, branch: str, *, name: str = "mlops-state", sha: str = "e" * 40, fork: bool = False, **more):
    of = {"head_branch": branch, "head_sha": sha, "head_repository_id": 2 if fork else 1}
    one = server.artifact(run, name, {"mlops-state.tar": f"run {run}".encode()}, **of)
    one.update(more)
    return one


def runs(found) -> list[int]:
    return [one.run for one in found]


class TestWhatWasComputed:
    def test_after_a_merge_it_is_the_pull_request_s_and_the_default_branch_s(self, server):
        state(server, 1, "main")
        state(server, 2, "main")
        state(server, 3, "faster", sha=HEAD)
        state(server, 4, "other")
        with asked(server, payload={"ref": "refs/heads/main"}) as github:
            assert runs(computed(github)) == [3, 2]

    def test_for_a_pull_request_it_is_its_branch_s_and_the_default_branch_s(self, server):
        state(server, 1, "main")
        state(server, 2, "faster")
        state(server, 3, "other")
        pull = {"number": 7, "pull_request": {"head": {"ref": "faster"}}}
        with asked(server, "pull_request", pull) as github:
            assert runs(computed(github)) == [2, 1]

    def test_a_fork_takes_the_default_branch_s_alone(self, server):
        state(server, 1, "main")
        state(server, 2, "faster")
        pull = {"number": 7, "pull_request": {"head": {"ref": "faster"}}}
        with asked(server, "pull_request", pull, fork=True) as github:
            assert runs(computed(github)) == [1]

    def test_a_fork_s_is_never_taken_whatever_its_branch_is_called(self, server):
        """Promise 21: the fork's branch is called `main`, and its commit is the one that was merged."""
        state(server, 1, "main", sha=HEAD, fork=True)
        state(server, 2, "main", workflow_run=None)
        with asked(server, payload={"ref": "refs/heads/main"}) as github:
            assert computed(github) == ()

    def test_what_expired_or_is_called_otherwise_is_passed_over(self, server):
        state(server, 1, "main")
        state(server, 2, "main", expired=True)
        state(server, 3, "main", name="mlops-state-of-mine")
        with asked(server) as github:
            assert runs(computed(github)) == [1]


class TestWhatIsLive:
    def test_the_newest_of_the_default_branch_counts(self, server):
        """Anybody who may push a branch may upload an artifact of that name."""
        name = "mlops-environment-production"
        state(server, 1, "main", name=name)
        state(server, 2, "main", name=name)
        state(server, 3, "mine", name=name)
        state(server, 4, "main", name=name, fork=True)
        with asked(server) as github:
            found = environment(github, "production")
            assert found is not None
            assert found.run == 2
            assert environment(github, "staging") is None

    def test_no_branch_can_push_it_out_of_sight(self, server):
        """Not to find it would mean that nothing is live."""
        server.page = 100
        name = "mlops-environment-production"
        state(server, 1, "main", name=name)
        for run in range(2, 150):
            state(server, run, "mine", name=name)
        server.kept.artifacts = dict(sorted(server.kept.artifacts.items(), reverse=True))  # as GitHub lists them
        with asked(server) as github:
            found = environment(github, "production")
        assert found is not None
        assert found.run == 1

    def test_the_default_branch_is_asked_for_where_the_event_does_not_say(self, server):
        state(server, 1, "main", name="mlops-environment-production")
        with asked(server, "schedule", {"repository": None}) as github:
            assert environment(github, "production")

    def test_what_expired_is_not_taken_for_nothing(self, server):
        state(server, 1, "main", name="mlops-environment-production")
        state(server, 2, "main", name="mlops-environment-production", expired=True)
        with asked(server) as github, pytest.raises(OutsideError, match=r"live in production.*has expired"):
            environment(github, "production")


def test_the_one_file_is_downloaded_and_anything_else_is_refused(server, tmp_path):
    state(server, 1, "main")
    server.artifact(2, "mlops-state", {"a.tar": b"a", "b.tar": b"b"}, head_sha=HEAD, head_branch="faster")
    with asked(server) as github:
        mine, good = computed(github)
        assert download(github, good, tmp_path).read_bytes() == b"run 1"
        with pytest.raises(OutsideError, match="is not what `mlops state export` wrote"):
            download(github, mine, tmp_path)
