"""Two versions of a model on two versions of a feature: each judged and served through its own, and back again."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlops import champion
from mlops.adapters.index import Index
from mlops.errors import DeploymentFailed, GateFailed, NothingToDo
from mlops.execution import Run
from mlops.pipeline import Wish
from mlops.publishing import publish_features
from mlops.recording import Push
from mlops.release import Manifest
from mlops.reports import text
from mlops.running import _report, run
from mlops.serving.integrity import read_manifest
from mlops.steps.rollback import rollback
from mlops.stores.online import published
from mlops.targets import chosen
from mlops.verdict import Outcome, Record
from tests import small


@pytest.fixture(scope="module")
def stored(banked):
    """A project with stored features, after a run of both versions."""
    return banked


@pytest.fixture(autouse=True)
def _no_other_ledger(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_each_version_is_released_on_its_own_features(stored):
    root, ran = stored
    assert not ran.errors, ran
    assert ran.report.outcome is Outcome.PASS, ran
    first, second = sorted(ran.report.releases)
    manifests = [read_manifest(root / ".mlops" / "releases" / name) for name in (first, second)]
    assert [set(m.features) for m in manifests] == [{"spend_v1"}, {"spend_v2"}]
    assert [m.champion for m in manifests] == ["", first]
    assert [m.beside for m in manifests] == ["", first], "put under load in turn with it too"


def test_the_champion_is_judged_through_its_own_features(stored):
    """On the challenger's rows it must answer as its own held-out predictions did."""
    root, ran = stored
    workspace = small.opened(root)
    first = read_manifest(workspace.releases / min(ran.report.releases))
    checked = ran.record("check-model:fraud_v1")
    own = workspace.frame(checked.outputs["predictions"])
    challenger = workspace.frame(ran.record("assemble:fraud_v2").outputs["holdout"])
    features = {name: ran.record(f"build-features:{name}") for name in ("spend_v1", "spend_v2")}
    theirs = champion.predictions(workspace, first, challenger, features)
    assert np.allclose(np.asarray(theirs.probabilities)[:, 1], own["probability_1"].to_numpy(), atol=1e-6)
    before = workspace.frame(ran.record("assemble:fraud_v1").outputs["holdout"])
    assert not np.allclose(challenger["spend"], before["spend"], equal_nan=True), "else anything would pass here"


def test_a_champion_whose_view_is_gone_cannot_be_compared(stored):
    root, ran = stored
    workspace = small.opened(root)
    first = read_manifest(workspace.releases / min(ran.report.releases))
    challenger = workspace.frame(ran.record("assemble:fraud_v2").outputs["holdout"])
    with pytest.raises(GateFailed, match="spend_v1") as caught:
        champion.predictions(workspace, first, challenger, {})
    assert "put spend_v1 back" in caught.value.next_step


def test_the_champions_views_are_kept_computed(stored):
    workspace = small.opened(stored[0])
    assert champion.views(workspace, "fraud", "staging") == ("spend_v2", "spend_v1")


def test_a_second_run_of_both_computes_nothing(stored):
    assert small.go(stored[0]).computed == []


def test_publishing_needs_the_features_to_have_been_computed_here(stored, tmp_path):
    workspace = small.opened(stored[0])
    manifest = read_manifest(workspace.releases / min(stored[1].report.releases))
    empty = Index(tmp_path / "index.db")
    with pytest.raises(DeploymentFailed, match="spend_v1") as caught:
        publish_features(workspace, empty, manifest, tmp_path / "online.sqlite")
    assert "mlops materialize spend_v1" in caught.value.next_step
    empty.close()
    assert not published(tmp_path / "online.sqlite")


def test_publishing_writes_only_what_the_release_reads(stored, tmp_path):
    workspace = small.opened(stored[0])
    manifest = read_manifest(workspace.releases / min(stored[1].report.releases))
    index = Index(workspace.home / "index.db")
    publish_features(workspace, index, manifest, tmp_path / "online.sqlite")
    index.close()
    assert [one.view for one in published(tmp_path / "online.sqlite")] == ["spend_v1"]


def test_going_back_brings_the_features_along(stored):
    root, ran = stored
    first, second = sorted(ran.report.releases)
    workspace = small.opened(root)
    target = chosen.local(workspace, "staging")
    assert {one.view for one in published(target.online)} == {"spend_v1", "spend_v2"}
    back = rollback(workspace, environment="staging", reason="complaints")
    assert (back.facts["from"], back.facts["release"]) == (second, first)
    assert {one.view for one in published(target.online)} == {"spend_v1", "spend_v2"}
    forward = rollback(workspace, environment="staging", to=second)
    assert forward.facts["release"] == second


def test_without_a_model_there_is_nothing_to_do(tmp_path):
    workspace = small.opened(small.churn(tmp_path / "shop"))
    with pytest.raises(NothingToDo):
        run(workspace, Wish(command="run", models=()), small.Watch())


def test_a_bug_in_a_step_is_raised_and_the_ledger_says_so(tmp_path, monkeypatch):
    from mlops.adapters.ledger import Ledger
    from mlops.steps import snapshot

    def broken(*_, **__):
        raise ZeroDivisionError("oops")

    root = small.churn(tmp_path / "shop")
    monkeypatch.setattr(snapshot, "snapshot", broken)
    with pytest.raises(ZeroDivisionError):
        small.go(root)
    ledger = Ledger(root / ".mlops", "shop")
    runs = ledger.client.search_runs([ledger.experiment])
    (pushed,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert pushed.info.status == "FAILED"
    assert pushed.data.tags["mlops.error"] == "ZeroDivisionError: oops"


def test_the_machine_readable_commands_say_what_there_is(stored):
    root, ran = stored
    _, second = sorted(ran.report.releases)
    (standing,) = json.loads(small.mlops(root, "status", "staging", "--json").stdout)
    assert standing["families"][0]["standing"]["live"] == second
    lineage = json.loads(small.mlops(root, "lineage", "fraud_v2", "--json").stdout)
    assert lineage["release"] == second
    assert isinstance(json.loads(small.mlops(root, "doctor", "--json").stdout), list)
    wrong = small.mlops(root, "lineage", "fruad", "--json")
    assert json.loads(wrong.stdout)["exit_code"] == wrong.returncode == 2


def test_a_manifest_is_not_of_this_machine(stored):
    root, ran = stored
    for name in ran.report.releases:
        manifest = read_manifest(root / ".mlops" / "releases" / name)
        assert isinstance(manifest, Manifest)
        assert str(root) not in (root / ".mlops" / "releases" / name / "manifest.json").read_text()


def test_of_each_family_what_is_live_at_the_end_is_told():
    moved = [("fraud", "fraud_v1-a"), ("churn", "churn_v1-b"), ("fraud", "fraud_v2-c"), ("stay", "")]
    records = tuple(
        Record(step="deploy", subject=family, facts={"environment": "staging", "family": family, "release": release})
        for family, release in moved
    )
    report = _report(Wish(command="run"), Run(records), Push(command="run", commit="c", dirty=False), ())
    assert report.deployed == {"fraud_v2-c": "staging", "churn_v1-b": "staging"}
    lines = text.render(report).splitlines()
    assert lines[-2:] == ["live     staging: fraud_v2-c", "live     staging: churn_v1-b"]
