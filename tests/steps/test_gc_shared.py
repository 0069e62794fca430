"""Of a team's store goes what no release here needs and nobody used lately; a record before its objects."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from mlops.adapters import shared
from mlops.adapters.index import Index
from mlops.errors import UsageError
from mlops.steps.gc_shared import collect, planned
from tests import small

MONTH = 31 * 86_400


@pytest.fixture
def team(released, shop, tmp_path, monkeypatch):
    """The released project, and a store with all of it, and with what somebody tried and dropped."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv(shared.VARIABLE, str(tmp_path / "bucket"))
    index, objects = Index(shop / ".mlops" / "index.db"), small.opened(shop).objects
    store = shared.opened("", "", "shop")
    for entry in index.entries():
        store.keep(entry, objects)
    (release,) = released[1].report.releases
    store.publish(release, (shop / ".mlops" / "releases" / release / "manifest.json").read_bytes())
    index.close()
    tried = shop.parent / "tried"
    shutil.copytree(shop, tried)
    small.edit(tried / "models" / "churn.py", "fitted(X, y, 1.0)", "fitted(X, y, 0.4)")
    ran = small.go(tried, until="train", environment=None)
    assert ran.computed == ["train:churn_v1"]
    return shop, store, ran.record("train:churn_v1")


def later():
    return time.time() + MONTH


def test_what_was_used_lately_stays_whatever_it_is(team):
    root, _, _ = team
    facts = planned(small.opened(root)).facts
    assert (facts["entries"], facts["objects"], facts["total"], facts["releases"]) == (0, 0, 0, [])


def test_what_no_release_needs_goes_and_a_retained_release_is_made_again_from_what_stays(team, tmp_path):
    root, store, tried = team
    workspace = small.opened(root)
    said = planned(workspace, now=later()).facts
    assert (said["entries"], said["done"]) == (1, False)
    assert store.find(tried.key) is not None, "it is only said"
    done = collect(workspace, now=later()).facts
    assert {**done, "done": False} == said
    assert store.find(tried.key) is None
    assert store.copy({tmp_path / "model": tried.outputs["model"]}) == {tried.outputs["model"]}
    assert planned(workspace, now=later()).facts["total"] == 0
    other = tmp_path / "another" / "shop"
    shutil.copytree(root, other, ignore=shutil.ignore_patterns(".mlops", "__pycache__"))
    assert small.go(other, until="register", environment=None).computed == ["register:churn_v1"]


def test_where_no_environment_retains_a_release_it_goes_too_and_what_is_brought_is_used(team, tmp_path):
    root, store, _ = team
    other = tmp_path / "another" / "shop"
    shutil.copytree(root, other, ignore=shutil.ignore_patterns(".mlops", "__pycache__"))
    workspace = small.opened(other)
    assert len(planned(workspace, now=later()).facts["releases"]) == 1
    for key, kept in store.listed().items():  # as if it had been put there long ago
        store._put(shared.msgspec.structs.replace(kept, used=1.0))
        assert key == kept.entry.record.key
    assert small.go(other, until="train", environment=None).computed == []
    touched = {kept.entry.record.step for kept in store.listed().values() if kept.used > 1.0}
    assert touched == {"snapshot", "assemble", "train"}
    collect(workspace)
    assert set(store.releases()) == set()
    assert {kept.entry.record.step for kept in store.listed().values()} == touched


def test_what_is_on_its_way_there_is_left_while_somebody_works(team):
    root, store, _ = team
    store.place.write(f"objects/{'ab' * 32}/content", b"unnamed")
    assert store.claims.take("cd" * 32, lambda: False)
    facts = planned(small.opened(root)).facts
    assert (facts["objects"], facts["busy"]) == (0, ["another machine"])
    store.claims.close()
    facts = collect(small.opened(root)).facts
    assert (facts["objects"], facts["total"], facts["busy"]) == (1, 7, [])
    assert store.sizes().keys() >= {d for kept in store.listed().values() for d in kept.objects}


def test_a_record_that_cannot_be_read_goes(team):
    root, store, tried = team
    store.place.write(f"records/{tried.key}/record.json", b"{")
    assert collect(small.opened(root)).facts["entries"] == 1
    assert store.listed().keys() == {k.entry.record.key for k in store.listed().values()}


def test_without_a_store_and_in_a_fork_s_run_it_is_refused(team, monkeypatch):
    root, _, _ = team
    workspace = small.opened(root)
    with monkeypatch.context() as patched:
        patched.setattr("mlops.adapters.trust.fork", lambda: "ann/shop, pull request 7")
        with pytest.raises(UsageError, match="fork"):
            collect(workspace)
    monkeypatch.setenv(shared.VARIABLE, "off")
    with pytest.raises(UsageError, match="no shared store"):
        planned(workspace)


def test_the_command_says_first_and_removes_when_told_so(team, tmp_path):
    root, _, _ = team
    bucket = str(tmp_path / "bucket")
    said = small.mlops(root, "gc", "--shared", "--days", "0", MLOPS_SHARED_STORE=bucket)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith(f"in {bucket}: needed by no release, and not used for 0 days:")
    assert "1 step, which would be computed again" in said.stdout
    assert "nothing was removed; to do it: --yes" in said.stdout
    done = small.mlops(root, "gc", "--shared", "--days", "0", "--yes", "--json", MLOPS_SHARED_STORE=bucket)
    facts = json.loads(done.stdout)
    assert (facts["done"], facts["entries"], facts["place"]) == (True, 1, bucket)
