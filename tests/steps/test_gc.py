"""What no release needs goes; what is live, kept, judged against, used lately or being used stays."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time

import pytest

from mlops.adapters.index import Index
from mlops.errors import OutsideError
from mlops.pipeline import Wish
from mlops.running import run
from mlops.serving.integrity import verify
from mlops.steps import gc
from mlops.steps.gc import collect, planned
from mlops.steps.rollback import rollback
from mlops.using import using
from tests import small

LATER = 31 * 86_400


@pytest.fixture(scope="module")
def tried(banked, tmp_path_factory):
    """A project with a release that was made and never deployed."""
    root = tmp_path_factory.mktemp("tried") / "bank"
    shutil.copytree(banked[0], root)
    small.edit(
        root / "models" / "fraud.py",
        "@model(features=[spend_v2], **READS)",
        "@model(features=[spend_v2], params={'a': 1}, **READS)",
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        ran = small.go(root, "fraud_v2", until="register", environment=None)
    assert not ran.errors, ran
    (release,) = ran.report.releases
    assert release not in banked[1].report.releases
    return root, release


@pytest.fixture
def project(tried, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "bank"
    shutil.copytree(tried[0], root)
    return root


def later():
    return time.time() + LATER


def held(root):
    return {path for path in (root / ".mlops").rglob("*") if path.is_file() and "lock" not in path.name}


def test_it_says_what_would_go_and_changes_nothing(project, tried):
    before = held(project)
    facts = planned(small.opened(project), now=later()).facts
    assert facts["releases"] == [tried[1]]
    assert facts["objects"] > 0
    assert facts["bytes"]["releases"] > 100_000
    assert held(project) == before


def test_what_was_made_lately_stays(project, tried):
    facts = planned(small.opened(project)).facts
    assert (facts["releases"], facts["objects"], facts["entries"]) == ([], 0, 0)
    assert facts["kept"][tried[1]] == "made or used lately"


def test_after_it_retained_releases_serve_go_back_and_are_not_computed_again(project, tried, banked):
    workspace = small.opened(project)
    told = planned(workspace, now=later()).facts
    objects = sum(1 for _ in workspace.objects.listed())
    done = collect(workspace, now=later()).facts
    assert {**done, "done": False} == told
    assert not (workspace.releases / tried[1]).exists()
    assert sum(1 for _ in workspace.objects.listed()) == objects - told["objects"]
    for release in banked[1].report.releases:
        verify(workspace.releases / release)
    small.edit(project / "models" / "fraud.py", ", params={'a': 1}", "")
    assert small.go(project).computed == [], "what retained releases came of is here still"
    assert rollback(workspace, environment="staging").facts["release"] == min(banked[1].report.releases)
    assert collect(workspace, now=later()).facts["total"] == 0


def test_what_went_is_computed_again_when_it_is_asked_for(project, tried):
    collect(small.opened(project), now=later())
    ran = small.go(project, "fraud_v2", until="register", environment=None)
    assert ran.report.releases == (tried[1],)
    verify(project / ".mlops" / "releases" / tried[1])


def test_while_a_command_uses_the_store_nothing_goes(project, monkeypatch):
    monkeypatch.setattr(gc, "collecting", gc_patience)
    workspace = small.opened(project)
    with using(workspace), pytest.raises(OutsideError, match=f"by process {os.getpid()}"):
        collect(workspace, now=later())
    collect(workspace, now=later())


def gc_patience(workspace):
    from mlops.using import collecting

    return collecting(workspace, seconds=0.2)


def test_a_run_waits_until_it_is_over(project, monkeypatch):
    """And what it then needs is there, or is computed."""
    workspace = small.opened(project)
    begun, may_end, order = threading.Event(), threading.Event(), []
    real = gc._remove

    def slowly(*arguments):
        begun.set()
        assert may_end.wait(30)
        real(*arguments)
        order.append("collected")

    monkeypatch.setattr(gc, "_remove", slowly)
    collecting = threading.Thread(target=collect, args=(workspace,), kwargs={"now": later()})
    collecting.start()
    assert begun.wait(30)

    def go():
        model = workspace.catalog.models["fraud_v2"]
        run(workspace, Wish(command="run", models=(model,), until="assemble"), small.Watch())
        order.append("ran")

    running = threading.Thread(target=go)
    running.start()
    running.join(0.5)
    assert running.is_alive(), "it waits"
    may_end.set()
    running.join(60)
    collecting.join(60)
    assert order == ["collected", "ran"]


def test_a_kill_between_the_index_and_the_objects_leaves_nothing_that_is_promised(project, tried, monkeypatch):
    """Promise 12: the entries are gone, some objects and half a release are still there."""

    class Killed(BaseException):
        pass

    def killed(path):
        (path / "manifest.json").unlink()
        raise Killed

    workspace = small.opened(project)
    monkeypatch.setattr(gc.shutil, "rmtree", lambda path, ignore_errors=False: None if ignore_errors else killed(path))
    with pytest.raises(Killed):
        collect(workspace, now=later())
    monkeypatch.undo()
    index = Index(workspace.home / "index.db")
    records = index.records()
    index.close()
    assert all(workspace.objects.has(d) for r in records for d in r.outputs.values())
    assert not (workspace.releases / tried[1]).exists(), "half a release has no name"
    assert list(workspace.releases.glob(".gone-*"))
    collect(workspace, now=later())
    assert not list(workspace.releases.glob(".*"))


def test_what_killed_commands_left_goes_too_and_nothing_young(project):
    home = project / ".mlops"
    old, young = home / "store" / "ab" / ".cd.x.tmp", home / "store" / "ab" / ".ef.y.tmp"
    folder = home / "scratch" / "bento-old"
    old.parent.mkdir(exist_ok=True)
    folder.mkdir()
    for path in (old, young, folder / "file"):
        path.write_bytes(b"x" * 1000)
    hour_ago = time.time() - 7200
    os.utime(old, (hour_ago, hour_ago))
    os.utime(folder, (hour_ago, hour_ago))
    facts = collect(small.opened(project)).facts
    assert (facts["leftovers"], facts["bytes"]["leftovers"]) == (2, 2000)
    assert (old.exists(), folder.exists(), young.exists()) == (False, False, True)


def test_a_signature_goes_with_its_release_and_stays_with_one_that_stays(project, tried, banked):
    releases = project / ".mlops" / "releases"
    for name in (tried[1], banked[1].report.releases[0], "gone_v1-0123456789ab"):
        (releases / f"{name}.sig").touch()
    collect(small.opened(project), now=later())
    assert [path.name for path in releases.glob("*.sig")] == [f"{banked[1].report.releases[0]}.sig"]


def test_an_object_that_nobody_names_yet_is_left_alone(project):
    workspace = small.opened(project)
    digest = workspace.objects.put(b"its writer has not come to the index yet")
    collect(workspace)
    assert workspace.objects.has(digest)
    collect(workspace, now=time.time() + 7200)
    assert not workspace.objects.has(digest)


def test_the_command_removes_only_when_told_so(project, tried):
    said = small.mlops(project, "gc", "--days", "0")
    assert said.returncode == 0, said.stderr
    assert tried[1] in said.stdout
    assert "to do it: --yes" in said.stdout
    assert (project / ".mlops" / "releases" / tried[1]).exists()
    done = json.loads(small.mlops(project, "gc", "--days", "0", "--yes", "--json").stdout)
    assert done["releases"] == [tried[1]]
    assert not (project / ".mlops" / "releases" / tried[1]).exists()
