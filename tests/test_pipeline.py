"""From a table to a live release and back: what is computed, what is reused, what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlops.adapters.ledger import Ledger
from mlops.champion import live
from mlops.release import BENTO
from mlops.steps.deploy import deploy
from mlops.steps.rollback import rollback
from mlops.targets import chosen
from mlops.verdict import STEPS, Outcome
from tests import small

AGAIN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.small import go
ran = go(Path(sys.argv[1]))
assert ran.report.outcome == "pass", str(ran)
assert ran.computed == []
print("LOADED", sorted({"mlflow", "bentoml", "onnxruntime", "duckdb"} & set(sys.modules)))
"""


@pytest.fixture(scope="module", autouse=True)
def _no_other_ledger():
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


def test_the_first_run_takes_every_step_and_ends_live(released):
    root, ran = released
    assert not ran.errors, ran
    assert ran.report.outcome is Outcome.PASS, ran
    assert ran.steps == set(STEPS) - {"build-features"}, "a plain table costs no feature store"
    (release,) = ran.report.releases
    assert ran.report.deployed == {release: "staging"}
    assert chosen.target(small.opened(root), "staging").standing("churn").live == release


def test_the_ledger_tells_the_first_run(released):
    root, ran = released
    (release,) = ran.report.releases
    ledger = Ledger(root / ".mlops", "shop")
    runs = {run.info.run_name: run for run in ledger.client.search_runs([ledger.experiment])}
    assert {"snapshot:customers", "train:churn_v1", "check-model:churn_v1", release, "deploy:staging"} <= set(runs)
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    version = ledger.client.get_model_version_by_alias("churn", "staging")
    assert version.tags["mlops.release"] == release


def test_what_is_left_behind_has_no_path_of_this_machine(released):
    """Records, verdicts and releases are read on other machines."""
    root, ran = released
    for record in ran.report.records:
        assert str(root) not in repr(record), record.name
    folder = root / ".mlops" / "releases" / ran.report.releases[0]
    for file in folder.rglob("*"):
        if file.is_file():
            assert str(root).encode() not in file.read_bytes(), file


def test_a_run_with_nothing_changed_computes_nothing_and_opens_no_ledger(shop):
    """Promise 25, its cause."""
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, str(shop), str(Path(__file__).parents[1])],
        env=small.variables(), capture_output=True, text=True, check=False, cwd=shop,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "LOADED []" in done.stdout


def test_a_comment_recomputes_only_what_carries_the_file_itself(shop):
    small.edit(shop / "models" / "churn.py", "def fitted", "# how strong is a matter of taste\ndef fitted")
    ran = small.go(shop)
    assert ran.report.outcome is Outcome.PASS, ran
    assert not ran.steps & {"snapshot", "check-features", "check-data", "assemble", "train", "check-model"}


def test_another_function_recomputes_from_train_to_register(shop):
    small.edit(shop / "models" / "churn.py", "fitted(X, y, 1.0)", "fitted(X, y, 0.3)")
    ran = small.go(shop)
    assert ran.report.outcome is Outcome.PASS, ran
    assert {"train", "check-model", "package", "check-service", "register", "deploy"} <= ran.steps
    assert not ran.steps & {"snapshot", "check-features", "assemble"}
    assert ran.record("check-model:churn_v1").facts["champion"] != "", "judged against the release before it"


def test_a_score_below_the_floor_releases_nothing_and_the_ledger_says_why(shop, released):
    small.edit(shop / "pyproject.toml", "floor = 0.6", "floor = 0.999")
    before = chosen.target(small.opened(shop), "staging").standing("churn")
    ran = small.go(shop)
    assert ran.report.outcome is Outcome.FAIL
    fired = [f for v in ran.report.verdicts for f in v.fired if f.outcome is Outcome.FAIL]
    assert any("0.999" in f"{f.message} {f.threshold}" for f in fired), fired
    assert all(f.next_step for f in fired)
    assert ran.report.releases == ()
    assert not {"register", "deploy"} & ran.steps
    assert chosen.target(small.opened(shop), "staging").standing("churn") == before
    ledger = Ledger(shop / ".mlops", "shop")
    runs = ledger.client.search_runs([ledger.experiment], "tags.`mlops.step` = 'check-model'")
    newest = max(runs, key=lambda run: run.info.start_time)
    assert newest.info.status == "FAILED"
    assert "0.999" in newest.data.tags["mlops.fired"]
    parent = ledger.client.get_run(newest.data.tags["mlflow.parentRunId"])
    assert (parent.info.status, parent.data.tags["mlops.outcome"]) == ("FAILED", "fail")


def test_the_command_line_says_no_with_exit_code_1_and_its_json_holds_the_finding(shop):
    import json

    small.edit(shop / "pyproject.toml", "floor = 0.6", "floor = 0.999")
    done = small.mlops(shop, "run", "--json")
    assert done.returncode == 1, done.stderr
    whole = json.loads(done.stdout)
    assert whole["outcome"] == "fail"
    assert whole["releases"] == []


def test_a_misspelt_environment_is_told_before_anything_is_computed(shop):
    done = small.mlops(shop, "run", "--to", "stagign")
    assert done.returncode == 2
    assert "did you mean 'staging'?" in done.stderr


def test_version_2_is_judged_against_version_1_and_both_go_live_in_order(shop):
    (shop / "models" / "churn.py").write_text(small.MODELS + small.SECOND)
    ran = small.go(shop)
    assert not ran.errors, ran
    assert ran.report.outcome is Outcome.PASS, ran
    first, second = sorted(ran.report.releases)
    assert ran.record("check-model:churn_v1").facts["champion"] == ""
    assert ran.record("check-model:churn_v2").facts["champion"] == first
    target = chosen.target(small.opened(shop), "staging")
    assert [event.to for event in target.history("churn")][-2:] == [first, second]
    again = small.go(shop)
    assert again.computed == [], "a rerun of both changes nothing, and judges nobody anew"
    assert target.standing("churn").live == second
    assert live(small.opened(shop), "churn", "staging").release == second


def test_the_same_work_in_two_folders_gives_the_same_release(released, tmp_path):
    """Path, time and user do not matter: what the runner released is what the laptop would."""
    _, ran = released
    other = small.churn(tmp_path / "a quite different folder" / "and deeper")
    again = small.go(other)
    assert not any(record.reused for record in again.report.records)
    assert again.report.releases == ran.report.releases
    keys = {record.name: record.key for record in ran.report.records}
    assert {record.name: record.key for record in again.report.records} == keys


@pytest.mark.parametrize("harm", ["changed", "removed"])
def test_a_damaged_release_is_made_whole_by_the_next_run(harm, shop, released):
    """Its manifest says what to do: `mlops run`."""
    (release,) = released[1].report.releases
    folder = shop / ".mlops" / "releases" / release
    victim = next((folder / BENTO / "src" / "release").glob("model.*"))
    before = victim.read_bytes()
    victim.unlink()
    if harm == "changed":
        victim.write_bytes(b"another model")
    ran = small.go(shop)
    assert not ran.errors, ran
    assert ran.report.releases == (release,)
    assert victim.read_bytes() == before
    assert chosen.target(small.opened(shop), "staging").standing("churn").live == release


def test_a_lost_object_is_computed_again(shop):
    store = shop / ".mlops" / "store"
    for file in store.rglob("*"):
        if file.is_file():
            file.unlink()
    ran = small.go(shop, until="package", environment=None)
    assert not ran.errors, ran
    assert "package" in ran.steps


def test_up_to_a_step_only_what_it_needs_is_done(tmp_path):
    root = small.churn(tmp_path / "shop")
    ran = small.go(root, until="assemble", environment=None)
    assert ran.steps == {"snapshot", "assemble"}
    assert ran.report.releases == ()


def test_a_project_without_models_has_nothing_to_do(tmp_path):
    root = small.churn(tmp_path / "shop", models="")
    done = small.mlops(root, "run")
    assert done.returncode == 3
    assert "@model" in done.stderr


def test_a_run_does_not_bring_back_what_a_person_rolled_back(shop):
    (shop / "models" / "churn.py").write_text(small.MODELS + small.SECOND)
    first, second = sorted(small.go(shop).report.releases)
    workspace = small.opened(shop)
    rollback(workspace, environment="staging", reason="complaints")
    again = small.go(shop)
    target = chosen.target(workspace, "staging")
    assert target.standing("churn").live == first
    assert f"mlops deploy staging {second}" in again.record("deploy:churn_v2").facts["summary"]
    assert again.report.deployed == {first: "staging"}, "the report tells what is live, not what was wished"
    deploy(workspace, environment="staging", release=second)
    assert target.standing("churn").live == second, "a person may"


def test_a_users_own_check_stops_a_release_until_it_holds(shop):
    """PROMISES 2: a check on data that says no, and one on the model that crashes."""
    before = set((shop / ".mlops" / "releases").iterdir())
    rules = shop / "models" / "rules.py"
    rules.write_text(
        "from mlops import check\n\n"
        '@check(on="data")\ndef nobody_pays_too_much(customers):\n'
        '    assert customers["amount"].max() < 0, "too much"\n\n'
        '@check(on="model")\ndef crashes(rows, predictions):\n    return rows["no such column"]\n'
    )
    small.edit(shop / "models" / "churn.py", "1.0", "0.9")
    ran = small.go(shop)
    assert ran.report.outcome is Outcome.FAIL
    fired = {f.check: f for verdict in ran.report.verdicts for f in verdict.fired if f.check.startswith("own.")}
    assert "too much" in fired["own.nobody_pays_too_much"].message
    assert fired["own.crashes"].outcome is Outcome.NOT_RUN
    assert set((shop / ".mlops" / "releases").iterdir()) == before, "nothing was released"
