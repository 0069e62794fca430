"""`mlops explain` names what has changed, from what to what; and it computes nothing."""

from __future__ import annotations

import json
import shutil

import pytest

from mlops import keys
from mlops.actions.wish import Wish
from mlops.adapters import shared
from mlops.adapters.index import Entry, Index
from mlops.explaining import changes, explain
from mlops.verdict import Record
from tests import small


def asked(root):
    """What becomes of each task, by name."""
    workspace = small.opened(root)
    wish = Wish(
        command="explain", models=tuple(workspace.catalog.models.values()), until="register", environment="staging"
    )
    found, troubles = explain(workspace, wish, dirty=True)
    assert troubles == ()
    return {why.name: why for why in found}


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_nothing_changed_is_reused_and_said(shop):
    found = asked(shop)
    assert not found["train:churn_v1"].runs
    assert found["train:churn_v1"].because == ("nothing that it is made of has changed",)


def test_an_edited_helper_is_named_with_its_file(shop):
    small.edit(
        shop / "models" / "churn.py", "LogisticRegression(C=strength)", "LogisticRegression(C=strength, tol=1e-3)"
    )
    why = asked(shop)["train:churn_v1"]
    assert why.runs
    assert why.because == ("code churn_v1: models/churn.py: fitted was edited",)


def test_what_comes_after_waits_for_it(shop):
    small.edit(shop / "models" / "churn.py", "fitted(X, y, 1.0)", "fitted(X, y, 0.9)")
    found = asked(shop)
    assert found["check-model:churn_v1"].waits == ("train:churn_v1",)
    assert not found["assemble:churn_v1"].runs


def test_a_threshold_is_told_from_what_to_what(shop):
    small.edit(shop / "pyproject.toml", "floor = 0.6", "floor = 0.7")
    assert asked(shop)["check-model:churn_v1"].because == ("thresholds floor: 0.6 → 0.7",)


def test_data_is_told_by_its_digest(shop):
    with (shop / "customers.csv").open("a") as file:
        file.write("3.5,2,Bonn,0\n")
    (said,) = asked(shop)["snapshot:customers"].because
    assert said.startswith("source: ")
    assert " → " in said


def test_a_package_is_told_by_its_versions(shop, monkeypatch):
    real = keys._version
    monkeypatch.setattr(keys, "_version", lambda name: "99.0" if name == "scikit-learn" else real(name))
    keys.environment.cache_clear()
    try:
        why = asked(shop)["train:churn_v1"]
    finally:
        keys.environment.cache_clear()
    assert why.because == (f"package scikit-learn: {real('scikit-learn')} → 99.0",)


def test_an_output_that_is_gone_is_told(shop):
    index = Index(shop / ".mlops" / "index.db")
    digest = index.latest("train", "churn_v1").outputs["model"]
    index.close()
    (shop / ".mlops" / "store" / digest[:2] / digest[2:]).unlink()
    assert asked(shop)["train:churn_v1"].because == ("its output model is gone from the store",)


def test_what_was_never_computed_is_told_and_nothing_is_computed(tmp_path):
    root = small.churn(tmp_path / "shop")
    found = asked(root)
    assert found["snapshot:customers"].because == ("it was never computed here",)
    assert found["train:churn_v1"].waits == ("assemble:churn_v1",)
    assert not (root / ".mlops" / "store").exists()
    assert not (root / ".mlops" / "mlflow.db").exists()


@pytest.fixture
def team(shop, tmp_path, monkeypatch):
    """What another machine has put into the team's store: all that the project is made of."""
    bucket = (tmp_path / "bucket").as_uri()
    monkeypatch.setenv(shared.VARIABLE, bucket)
    index, objects = Index(shop / ".mlops" / "index.db"), small.opened(shop).objects
    store = shared.opened("", "", "shop")
    for entry in index.entries():
        store.keep(entry, objects)
    index.close()
    other = tmp_path / "another" / "shop"
    shutil.copytree(shop, other, ignore=shutil.ignore_patterns(".mlops", "__pycache__"))
    return other, bucket


def test_what_the_team_s_store_has_is_told_with_its_address_and_not_brought_here(team):
    other, bucket = team
    found = asked(other)
    assert {why.place for why in found.values() if why.step != "register"} == {bucket}
    assert not any(why.runs for why in found.values() if why.step != "register")
    assert found["train:churn_v1"].because == ("it was never computed here",)
    assert found["register:churn_v1"].runs, "a release is put in place on each machine"
    assert not (other / ".mlops" / "store").exists()
    small.edit(other / "models" / "churn.py", "fitted(X, y, 1.0)", "fitted(X, y, 0.9)")
    found = asked(other)
    assert found["train:churn_v1"].runs
    assert found["check-model:churn_v1"].waits == ("train:churn_v1",)
    assert found["assemble:churn_v1"].place == bucket


def test_the_command_says_where_from_and_that_a_store_is_not_reached(team, tmp_path):
    other, bucket = team
    done = small.mlops(other, "explain", "train", MLOPS_SHARED_STORE=bucket)
    assert done.stdout.splitlines() == [f"train churn_v1 will be taken from {bucket}", "  it was never computed here"]
    (tmp_path / "file").write_text("no folder")
    done = small.mlops(other, "explain", MLOPS_SHARED_STORE=str(tmp_path / "file"))
    assert done.returncode == 0
    assert "only this machine was looked at" in done.stderr
    assert "snapshot customers will run" in done.stdout


def test_an_entry_of_an_older_version_is_told():
    entry = Entry(record=Record(step="train", subject="m", key="k"))
    assert "older version" in changes(entry, {"packages": {}, "functions": {}})[0]


def test_the_command_names_what_runs_first(shop):
    small.edit(shop / "models" / "churn.py", "fitted(X, y, 1.0)", "fitted(X, y, 0.9)")
    done = small.mlops(shop, "explain", "check-model", "churn_v1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "check-model churn_v1 will run",
        "  train:churn_v1 runs first: code churn_v1: models/churn.py: churn_v1 was edited",
    ]
    (why,) = json.loads(small.mlops(shop, "explain", "train", "--json").stdout)
    assert why["runs"] is True
    wrong = small.mlops(shop, "explain", "train", "chrun_v1")
    assert wrong.returncode == 2
    assert "churn_v1" in wrong.stderr
