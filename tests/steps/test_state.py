"""What one machine computed travels as a file, proven before it is taken; the next one computes nothing of it again."""

from __future__ import annotations

import json
import shutil
import tarfile
from dataclasses import replace

import pytest

from mlops import retraining
from mlops.adapters import bundle
from mlops.adapters.index import Index
from mlops.adapters.ledger import Ledger
from mlops.errors import NothingToDo, OutsideError, UsageError
from mlops.release import Event
from mlops.serving.integrity import verify
from mlops.steps import state
from mlops.steps.retrain import Wanted, look, retrain
from mlops.targets import chosen
from tests import small


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "GITHUB_ACTIONS", state.KEY):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fork(monkeypatch, tmp_path):
    """Makes this process a fork's run; `fork(False)` a trusted one again."""

    def become(really=True):
        head = "ann/shop" if really else "team/shop"
        pull = {"number": 7, "head": {"repo": {"full_name": head}}}
        (tmp_path / "event.json").write_text(
            json.dumps({"repository": {"full_name": "team/shop"}, "pull_request": pull})
        )
        for name, value in {"ACTIONS": "true", "EVENT_NAME": "pull_request", "REPOSITORY": "team/shop"}.items():
            monkeypatch.setenv(f"GITHUB_{name}", value)
        monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event.json"))

    return become


def checkout(root, place):
    """The project's files without what was computed, in another folder: another machine's checkout."""
    shutil.copytree(root, place, ignore=shutil.ignore_patterns(".mlops", "__pycache__"))
    return place


def exported(root, file, **asked):
    return state.export(small.opened(root), file, **asked).facts


def taken(root, file):
    return state.take(small.opened(root), file).facts


def test_another_checkout_computes_nothing_again(released, tmp_path):
    first = released[0]
    exported(first, tmp_path / "state.tar.gz")
    second = checkout(first, tmp_path / "second")
    facts = taken(second, tmp_path / "state.tar.gz")
    assert facts["records"] == len(Index(first / ".mlops" / "index.db").entries())
    ran = small.go(second, environment=None, until="register")
    assert ran.computed == [], ran
    name = str(ran.record("register:churn_v1").facts["release"])
    assert verify(second / ".mlops" / "releases" / name).release == name


def test_the_embedded_ledger_travels_with_its_artifacts(released, tmp_path):
    exported(released[0], tmp_path / "state.tar")
    second = checkout(released[0], tmp_path / "second")
    taken(second, tmp_path / "state.tar")
    ledger = Ledger(second / ".mlops", "shop")
    runs = ledger.client.search_runs([ledger.experiment])
    (judged,) = [run for run in runs if run.data.tags.get("mlops.step") == "check-model"]
    assert str(second) in judged.info.artifact_uri
    ledger.client.download_artifacts(judged.info.run_id, "verdict.json", str(tmp_path))
    assert json.loads((tmp_path / "verdict.json").read_text())["gate"] == "check-model"
    (version,) = ledger.client.search_model_versions("name = 'churn'")
    assert version.tags["mlops.release"].startswith("churn_v1-")


def test_a_machine_with_a_ledger_of_its_own_gets_a_run_for_each_new_record(shop, tmp_path):
    other = checkout(shop, tmp_path / "other")
    small.edit(other / "models" / "churn.py", "fitted(X, y, 1.0)", "fitted(X, y, 0.7)")
    small.go(other)
    exported(other, tmp_path / "state.tar")
    ledger = Ledger(shop / ".mlops", "shop")
    before = len(ledger.client.search_runs([ledger.experiment]))
    facts = taken(shop, tmp_path / "state.tar")
    assert facts["runs"] == facts["records"] > 0
    runs = ledger.client.search_runs([ledger.experiment])
    # One for each record, one for the import; a release's own run is that of its record.
    assert len(runs) == before + facts["runs"] + 1
    assert {str(v.version) for v in ledger.client.search_model_versions("name = 'churn'")} == {"1", "2"}
    small.edit(shop / "models" / "churn.py", "fitted(X, y, 1.0)", "fitted(X, y, 0.7)")
    ran = small.go(shop, environment=None, until="register")
    assert [name for name in ran.computed if name.startswith("train")] == []
    assert taken(shop, tmp_path / "state.tar")["records"] == 0  # once


def test_an_environment_travels_where_it_is_asked_for(released, tmp_path):
    first = released[0]
    exported(first, tmp_path / "state.tar", environments=["staging"])
    second = checkout(first, tmp_path / "second")
    assert taken(second, tmp_path / "state.tar")["environments"] == ("staging",)
    there = [chosen.target(small.opened(root), "staging") for root in (first, second)]
    assert there[0].history("churn") == there[1].history("churn")
    assert small.go(second).computed == []
    again = taken(second, tmp_path / "state.tar")
    assert any("its history is its own" in sentence for sentence in again["left"])


def test_without_being_asked_for_no_environment_travels(released, tmp_path):
    exported(released[0], tmp_path / "state.tar")
    second = checkout(released[0], tmp_path / "second")
    taken(second, tmp_path / "state.tar")
    assert not (second / ".mlops" / "environments").exists()


def test_a_damaged_file_changes_nothing(released, tmp_path):
    """Promise 16, for what travels."""
    exported(released[0], tmp_path / "state.tar")
    with tarfile.open(tmp_path / "state.tar") as opened:
        largest = max(opened.getmembers(), key=lambda member: member.size)  # what lies between members may be padding
    content = bytearray((tmp_path / "state.tar").read_bytes())
    content[largest.offset_data + largest.size // 2] ^= 1
    (tmp_path / "state.tar").write_bytes(bytes(content))
    second = checkout(released[0], tmp_path / "second")
    with pytest.raises(OutsideError, match="damaged"):
        taken(second, tmp_path / "state.tar")
    assert [path for path in (second / ".mlops").rglob("*") if path.is_file()] == []


def test_what_a_fork_s_run_wrote_is_taken_by_a_fork_s_run_alone(released, tmp_path, fork):
    fork()
    exported(released[0], tmp_path / "state.tar")
    second = checkout(released[0], tmp_path / "second")
    fork(False)
    facts = taken(second, tmp_path / "state.tar")
    assert (facts["records"], facts["objects"], facts["releases"]) == (0, 0, ())
    assert "a fork's run wrote the file (ann/shop, pull request 7)" in facts["left"][0]
    fork()
    assert taken(second, tmp_path / "state.tar")["records"] > 0


def test_what_a_fork_s_run_computed_is_not_used_again_by_a_trusted_one(tmp_path, fork):
    root = small.churn(tmp_path / "shop")
    fork()
    first = small.go(root, until="train", environment=None)
    assert "train:churn_v1" in first.computed
    assert small.go(root, until="train", environment=None).computed == []
    fork(False)
    assert small.go(root, until="train", environment=None).computed == first.computed
    fork()
    assert small.go(root, until="train", environment=None).computed == []  # the other way it is used


def test_with_a_key_only_a_sealed_file_is_taken(released, tmp_path, monkeypatch):
    exported(released[0], tmp_path / "open.tar")
    monkeypatch.setenv(state.KEY, "secret")
    assert exported(released[0], tmp_path / "sealed.tar")["sealed"]
    second = checkout(released[0], tmp_path / "second")
    refused = taken(second, tmp_path / "open.tar")
    assert refused["records"] == 0
    assert "not sealed" in refused["left"][0]
    assert taken(second, tmp_path / "sealed.tar")["records"] > 0


def test_an_object_under_another_s_name_is_refused(released, tmp_path):
    with bundle.opened(_export(released[0], tmp_path), tmp_path / "scratch") as opened:
        names = [name for name in opened.members if name.startswith("objects/")]
        swapped = {**opened.members, names[0]: opened.members[names[1]]}
        bundle.write(tmp_path / "swapped.tar", opened.about, swapped)
    second = checkout(released[0], tmp_path / "second")
    with pytest.raises(OutsideError, match="not what its name says"):
        taken(second, tmp_path / "swapped.tar")
    assert not (second / ".mlops" / "store").exists()


def _export(root, folder):
    exported(root, folder / "state.tar")
    return folder / "state.tar"


def test_nothing_computed_is_nothing_to_export(tmp_path):
    with pytest.raises(NothingToDo, match="mlops run"):
        exported(small.churn(tmp_path / "shop"), tmp_path / "state.tar")
    assert not (tmp_path / "state.tar").exists()


def test_an_unknown_environment_is_told_before_anything_is_written(released, tmp_path):
    with pytest.raises(UsageError, match="stagin"):
        exported(released[0], tmp_path / "state.tar", environments=["stagin"])


def test_a_file_of_another_project_is_refused(released, tmp_path):
    exported(released[0], tmp_path / "state.tar")
    second = checkout(released[0], tmp_path / "second")
    small.edit(second / "pyproject.toml", 'name = "shop"', 'name = "bakery"')
    with pytest.raises(OutsideError, match="'shop', this is 'bakery'"):
        taken(second, tmp_path / "state.tar")


def test_how_often_a_retrain_failed_travels_without_the_environment(tmp_path):
    """Else each runner would begin at nought: no rest, no end, an hour after the other."""
    first = small.churn(tmp_path / "first")
    assert not small.go(first).errors
    second = checkout(first, tmp_path / "second")
    wanted = Wanted(environment="staging", family="churn", reason="drift", anyway=True)

    def refused():
        raise OutsideError("no data today", next_step="wait")

    for _ in range(3):
        with pytest.raises(OutsideError):
            retrain(small.opened(first), wanted, refused)
    exported(first, tmp_path / "state.tar")
    assert taken(second, tmp_path / "state.tar")["retrains"] == 6
    assert not (second / ".mlops/environments/staging").exists()  # so that what is live may still be taken
    assert look(small.opened(second), "staging", "churn").say == "a person"
    assert taken(second, tmp_path / "state.tar")["retrains"] == 0

    exported(second, tmp_path / "further.tar")
    third = checkout(first, tmp_path / "third")
    taken(third, tmp_path / "further.tar")
    assert look(small.opened(third), "staging", "churn").say == "a person"


@pytest.mark.parametrize("name", ["environment", "family"])
def test_a_retrain_that_names_another_place_is_left(tmp_path, name):
    workspace = small.opened(small.churn(tmp_path / "shop"))
    event = Event(
        at="2026-01-01T00:00:00+00:00",
        action="retrain",
        environment="staging",
        family="churn",
        to="",
        previous="",
        who="ann",
        reason="drift",
        outcome="begun",
        seconds=0.0,
    )
    assert retraining.take(workspace, [replace(event, **{name: "../../outside"})]) == 0
    assert not (workspace.home / "retrains").exists()
