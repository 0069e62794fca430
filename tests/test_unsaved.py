"""What was made of unsaved changes goes to staging, and to production only where somebody says so."""

from __future__ import annotations

import subprocess

import pytest

from mlops.adapters import git
from mlops.config import Command, Environment
from mlops.errors import DeploymentFailed, UsageError
from mlops.serving.integrity import read_manifest, verify
from mlops.targets import chosen
from mlops.unsaved import ALLOWED, demand_saved, reason, refuses
from tests import small

ELSEWHERE = Command(deploy=("true",), probe=("true",), rollback=("true",))


def commit(root):
    me = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], [*me, "commit", "-qm", "x"]):
        subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("name", "settings", "refused"),
    [
        ("staging", Environment(), False),
        ("production", Environment(), True),
        ("production", Environment(dirty="allow"), False),
        ("staging", Environment(dirty="refuse"), True),
        ("cluster", Environment(target="command", command=ELSEWHERE), True),
    ],
)
def test_production_and_other_places_refuse_it_unless_told_otherwise(shop, name, settings, refused):
    workspace = small.opened(shop)
    workspace.config.environments[name] = settings
    assert refuses(workspace, name) is refused


def test_a_run_to_production_is_refused_before_anything_is_computed(shop):
    done = small.mlops(shop, "run", "--to", "production")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "--allow-dirty" in done.stderr
    assert "git init" in done.stderr


def test_a_release_of_unsaved_changes_is_refused_and_what_lets_it_pass_is_kept(shop, released):
    (release,) = released[1].report.releases
    refused = small.mlops(shop, "deploy", "production", release)
    assert refused.returncode == DeploymentFailed.exit_code
    assert "--allow-dirty" in refused.stderr
    production = chosen.target(small.opened(shop), "production")
    assert production.families() == ()
    done = small.mlops(shop, "deploy", "production", release, "--allow-dirty", "--reason", "demo")
    assert done.returncode == 0, done.stderr
    assert production.standing("churn").reason == f"demo; {ALLOWED}"


def test_a_commit_of_what_was_released_names_the_same_release(shop, released):
    (release,) = released[1].report.releases
    workspace = small.opened(shop)
    place = workspace.releases / release
    assert read_manifest(place).dirty
    commit(shop)
    state = git.state(shop)
    assert not state.dirty, "our own folder is no unsaved change"
    demand_saved(workspace, "production", state)
    ran = small.go(shop)
    assert ran.report.releases == (release,)
    assert ran.computed == ["register:churn_v1"]
    assert (verify(place).commit, verify(place).dirty) == (state.commit, False)
    assert reason(workspace, "production", release, "why", allowed=False) == "why"
    (shop / "notes.txt").write_text("later")
    small.go(shop)
    assert not read_manifest(place).dirty, "it stays what a commit can tell of"
    with pytest.raises(UsageError, match="unsaved changes"):
        demand_saved(workspace, "production", git.state(shop))
