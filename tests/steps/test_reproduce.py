"""A release made again in a fresh checkout from what is recorded: identical, or the first thing that is not."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess

import pytest

from mlops.adapters import git, shared
from mlops.errors import MlopsError, OutsideError, UsageError
from mlops.serving.integrity import read_manifest
from mlops.steps import reproduce as step
from mlops.steps.reproduce import reproduce
from tests import small

RANDOM = """
    import os
    import numpy as np
    seed = int.from_bytes(os.urandom(4), "big")
    noise = np.random.default_rng(seed).permutation(len(y))[: len(y) // 2]
    return fitted(X.iloc[noise], y.iloc[noise], 1.0)
"""


def commit(root, message="x"):
    me = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], [*me, "commit", "-qm", message]):
        subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture(scope="module")
def saved(released, tmp_path_factory):
    """The small project, committed below its repository's root, with a release that the commit tells of."""
    repository = tmp_path_factory.mktemp("saved")
    root = repository / "shop"
    shutil.copytree(released[0], root)
    (repository / ".gitignore").write_text(".mlops/\n__pycache__/\n")
    commit(repository)
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        (release,) = small.go(root).report.releases
    return root, release


@pytest.fixture
def project(saved, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(saved[0].parent, tmp_path / "repository")
    return tmp_path / "repository" / "shop"


def states(record):
    return {part["name"]: part["state"] for part in record.facts["parts"]}


def test_a_release_is_made_again_byte_for_byte_though_the_folder_has_changed_since(project, saved):
    small.edit(project / "models" / "churn.py", "return fitted(X, y, 1.0)", "return fitted(X, y, 9.0)")
    (project / "customers.csv").unlink()
    before = git.state(project)
    record = reproduce(small.opened(project), release=saved[1], here=True)
    assert record.facts["errors"] == []
    assert set(states(record).values()) == {"same"}, record.facts
    assert record.facts["identical"]
    assert git.state(project) == before
    listed = subprocess.run(["git", "worktree", "list"], cwd=project, capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) == 1, "the repository is only read"


def test_training_that_is_not_the_same_twice_is_found_and_named(project):
    small.edit(project / "models" / "churn.py", "\n    return fitted(X, y, 1.0)\n", RANDOM)
    commit(project.parent)
    (release,) = small.go(project, until="register", environment=None).report.releases
    record = reproduce(small.opened(project), release=release, here=True)
    assert not record.facts["identical"]
    found = states(record)
    assert found["training table"] == found["code of the model"] == found["packages"] == "same"
    assert found["model and answers"] == "differs"
    (detail,) = [part["detail"] for part in record.facts["parts"] if part["name"] == "model and answers"]
    assert "model.onnx" in detail


def test_what_cannot_be_made_again_says_why(project, saved, shop, released):
    workspace = small.opened(shop)
    with pytest.raises(OutsideError, match="unsaved changes"):
        reproduce(workspace, release=released[1].report.releases[0], here=True)
    workspace = small.opened(project)
    manifest = read_manifest(workspace.releases / saved[1])
    workspace.objects.drop(manifest.snapshot["customers"])
    with pytest.raises(OutsideError, match=f"gone: customers {manifest.snapshot['customers'][:12]}"):
        reproduce(workspace, release=saved[1], here=True)
    done = small.mlops(project, "reproduce", saved[1], "--json")
    assert done.returncode == 4
    assert "is gone" in json.loads(done.stdout)["error"]


def test_a_commit_that_git_has_lost_is_told(project, saved):
    shutil.rmtree(project.parent / ".git")
    commit(project.parent, "another history")
    with pytest.raises(OutsideError, match="does not know the commit"):
        reproduce(small.opened(project), release=saved[1], here=True)


@pytest.fixture(scope="module")
def shared_with(saved, tmp_path_factory):
    """The team's store after a run in another checkout, and a clone of the repository that has computed nothing."""
    place = tmp_path_factory.mktemp("team")
    other = place / "runner"
    shutil.copytree(saved[0].parent, other, ignore=shutil.ignore_patterns(".mlops"))
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        patched.setenv(shared.VARIABLE, str(place / "bucket"))
        assert small.go(other / "shop", until="register", environment=None).report.releases == (saved[1],)
    subprocess.run(["git", "clone", "-q", str(other), str(place / "clone")], check=True)
    return place / "bucket", place / "clone" / "shop"


@pytest.fixture
def fresh(shared_with, tmp_path, monkeypatch):
    """A copy of both, for one test."""
    bucket, clone = shared_with
    shutil.copytree(bucket, tmp_path / "bucket")
    shutil.copytree(clone.parent, tmp_path / "clone")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv(shared.VARIABLE, str(tmp_path / "bucket"))
    return tmp_path / "bucket", tmp_path / "clone" / "shop"


def test_a_fresh_checkout_makes_it_again_from_the_team_s_store_alone(fresh, saved):
    bucket, clone = fresh
    (clone / "customers.csv").unlink()
    said = []
    record = reproduce(small.opened(clone), release="churn_v1", here=True, tell=said.append)
    assert record.facts["errors"] == []
    assert record.facts["release"] == saved[1]
    assert set(states(record).values()) == {"same"}, record.facts
    assert said[0] == f"bringing {saved[1]} from {bucket}"
    assert not (clone / ".mlops" / "store").exists()
    assert not (clone / ".mlops" / "releases").exists()


@pytest.mark.parametrize("harm", ["data", "a file", "manifest", "a name that leads out"])
def test_what_the_team_s_store_has_lost_or_made_up_is_told(fresh, saved, harm):
    bucket, clone = fresh
    told = next(bucket.rglob(f"{saved[1]}/manifest.json"))
    manifest = json.loads(told.read_bytes())
    if harm == "data":
        next(bucket.rglob(f"{manifest['snapshot']['customers']}/content")).unlink()
    elif harm == "a file":
        next(bucket.rglob(f"{manifest['files']['bento/bento.yaml']}/content")).write_bytes(b"another")
    elif harm == "manifest":
        told.write_bytes(told.read_bytes().replace(b'"binary"', b'"regression"'))
    else:
        told.write_text(json.dumps({**manifest, "files": {"../../evil.txt": manifest["files"]["bento/bento.yaml"]}}))
    messages = {"data": "is gone: customers", "a file": "1 files of", "manifest": "not whole", "a name": "leads out"}
    with pytest.raises(MlopsError, match=next(m for name, m in messages.items() if harm.startswith(name))):
        reproduce(small.opened(clone), release=saved[1], here=True)


def test_an_unknown_release_names_those_of_the_team(fresh, saved):
    with pytest.raises(UsageError) as caught:
        reproduce(small.opened(fresh[1]), release="chrun_v1", here=True)
    assert saved[1] in caught.value.next_step


def made_like(manifest, **other):
    made = {
        "snapshot": manifest.snapshot,
        "code": manifest.code,
        "features": manifest.features,
        "training": manifest.training,
        "params": manifest.params,
        "metrics": manifest.metrics,
        "packages": manifest.packages,
        "files": manifest.files,
        "errors": [],
    }
    return {**made, **other}


@pytest.mark.parametrize(
    ("name", "other", "said"),
    [
        ("packages", lambda m: {"packages": {**m.packages, "numpy": "1.0"}}, "is 1.0 now"),
        ("packages", lambda m: {"packages": {k: v for k, v in m.packages.items() if k != "numpy"}}, "numpy is missing"),
        ("data", lambda _: {"snapshot": {"customers": "0" * 64}}, "is 000000000000 now"),
        ("metrics", lambda m: {"metrics": {**m.metrics, "roc_auc": 0.5}}, "is 0.5 now"),
        ("training table", lambda _: {"training": ""}, "is nothing now"),
        ("the rest of the bento", lambda m: {"files": {**m.files, "bento/new": "0" * 64}}, "bento/new is new"),
    ],
)
def test_each_ingredient_that_differs_is_named_with_both_values(saved, name, other, said):
    manifest = read_manifest(saved[0] / ".mlops" / "releases" / saved[1])
    parts = {part.name: part for part in step._compared(manifest, made_like(manifest, **other(manifest)))}
    assert {n for n, part in parts.items() if part.state == "differs"} == {name}
    assert said in parts[name].detail
    assert manifest.packages["numpy"], "a release tells what it was made with"


def test_a_release_that_does_not_tell_its_packages_is_compared_without(saved):
    manifest = dataclasses.replace(read_manifest(saved[0] / ".mlops" / "releases" / saved[1]), packages={})
    parts = {part.name: part.state for part in step._compared(manifest, made_like(manifest))}
    assert parts.pop("packages") == "not recorded"
    assert set(parts.values()) == {"same"}


def test_what_was_installed_is_no_part_of_a_releases_name(saved, released):
    assert saved[1] == released[1].report.releases[0]
