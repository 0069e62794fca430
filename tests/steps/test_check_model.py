from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops.adapters import models
from mlops.config import ModelSettings
from mlops.contract import model_inputs
from mlops.errors import GateFailed
from mlops.refitting import NotRefitted, Refittable
from mlops.serving.predictors import Prediction, answers
from mlops.steps.check_model import Champion, check_model
from mlops.verdict import Finding, Outcome, Record, Verdict
from tests.steps.honest import SHARED, TABLES
from tests.steps.projects import BOOSTED, ModelProject, mixed

REGRESSION = BOOSTED.replace("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
PLAIN = "return make_pipeline(SimpleImputer(), LogisticRegression()).fit(X, y)"


@pytest.fixture
def project(tmp_path: Path) -> ModelProject:
    return ModelProject(tmp_path / "project")


class Judged:
    """A model trained on a table, to be judged as often as a test likes."""

    def __init__(self, project: ModelProject, frame: pd.DataFrame, declaration: str = "label='y'", body: str = BOOSTED):
        self.project = project
        self.model = project.declare(body, declaration)
        self.assembled = project.assemble(self.model, frame)
        self.trained = project.train(self.model, self.assembled)

    def record(
        self, floor: float | None = 0.1, champion: Champion | None = None, deepchecks=None, **settings
    ) -> Record:
        return check_model(
            self.project.workspace,
            model=self.model,
            assembled=self.assembled,
            trained=self.trained,
            settings=ModelSettings(floor=floor, **settings),
            champion=champion,
            deepchecks=deepchecks,
        )

    def verdict(self, **given) -> Verdict:
        found = self.record(**given).verdict
        assert found is not None
        return found

    @property
    def predictions(self) -> pd.DataFrame:
        return self.project.workspace.frame(self.record().outputs["predictions"])


def fired(verdict: Verdict) -> dict[str, Finding]:
    return {finding.check: finding for finding in verdict.fired}


def test_a_sound_model_passes_and_its_predictions_are_kept(project, deepchecks):
    judged = Judged(project, mixed(2_000))
    record = judged.record(deepchecks=deepchecks)
    assert record.verdict.outcome is Outcome.PASS, record.verdict.fired
    kept = project.workspace.frame(record.outputs["predictions"])
    assert list(kept) == ["__row", "prediction", "probability_0", "probability_1"]
    assert len(kept) == record.metrics["holdout_rows"]
    assert {"roc_auc", "f1", "train_roc_auc"} <= set(record.metrics)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_every_check_of_deepchecks_runs_for_other_tasks(project, deepchecks, task):
    """PROMISES 2: a check that does not run stops, so none may stumble over an honest model."""
    frame = mixed(2_000)
    frame["y"] = frame["city"].fillna("none") if task == "multiclass" else frame["amount"].fillna(0) * 2.5
    noise = np.random.default_rng(1).random(len(frame)) < 0.1
    frame["city"] = frame["city"].mask(noise, "Ulm")
    frame["amount"] = frame["amount"].mask(noise, 1.0)
    body = REGRESSION if task == "regression" else BOOSTED
    verdict = Judged(project, frame, body=body).verdict(deepchecks=deepchecks)
    assert [f.message for f in verdict.findings if f.outcome is Outcome.NOT_RUN] == []
    assert verdict.accepted, verdict.fired


def test_words_as_classes_and_a_model_without_probabilities_are_judged(project, deepchecks):
    frame = mixed(2_000)
    frame["y"] = np.where(frame["y"] == 1, "yes", "no")
    body = "return make_pipeline(SimpleImputer(), RidgeClassifier()).fit(X, y)"
    judged = Judged(project, frame.drop(columns="city"), "label='y', metric='accuracy'", body)
    record = judged.record(deepchecks=deepchecks)
    assert [f.message for f in record.verdict.findings if f.outcome is Outcome.NOT_RUN] == []
    assert "probability_0" not in project.workspace.frame(record.outputs["predictions"])


def test_a_metric_of_probabilities_without_probabilities_did_not_run(project):
    body = "return make_pipeline(SimpleImputer(), RidgeClassifier()).fit(X, y)"
    judged = Judged(project, mixed().drop(columns="city"), "label='y', metric='accuracy'", body)
    contract = dataclasses.replace(project.contract(judged.assembled), metric="roc_auc")
    outputs = {**judged.assembled.outputs, "contract": project.workspace.objects.put_json(contract)}
    judged.assembled = dataclasses.replace(judged.assembled, outputs=outputs)
    verdict = judged.verdict()
    assert not verdict.accepted
    assert "predict_proba" in fired(verdict)["model.floor"].message


def test_no_floor_stops_with_the_line_to_add(project):
    verdict = Judged(project, mixed(2_000)).verdict(floor=None)
    assert verdict.outcome is Outcome.FAIL
    assert "[tool.mlops.models.risk] floor = 0." in fired(verdict)["model.floor"].next_step


def test_a_model_on_shuffled_labels_stops(project):
    frame = mixed(2_000)
    frame["y"] = np.random.default_rng(0).permutation(frame["y"])
    found = fired(Judged(project, frame).verdict(floor=0.9))
    assert found["model.floor"].outcome is Outcome.FAIL
    assert "model.baseline" in found


def test_a_leaked_label_stops(project):
    frame = mixed(2_000)
    frame["refund"] = frame["y"] * 12.5 + np.random.default_rng(0).random(len(frame))
    assert fired(Judged(project, frame).verdict())["model.leakage"].subject == "refund"


def gone(rows: pd.DataFrame) -> Refittable:
    raise NotRefitted("the estimator of its training is not in this store")


def champion(judged: Judged, change=lambda chances: chances, classes=(0, 1)) -> Champion:
    """A release that says what `judged` says, but for a change of the probabilities."""

    def predict(rows: pd.DataFrame) -> Prediction:
        kept = judged.predictions
        assert rows["__row"].tolist() == kept["__row"].tolist()
        chances = change(kept[["probability_0", "probability_1"]].to_numpy())
        return Prediction(np.array(classes)[chances.argmax(axis=1)], chances)

    return Champion("risk_v1-abc", classes, predict, gone)


def test_the_same_model_again_is_not_worse(project):
    judged = Judged(project, mixed(2_000))
    record = judged.record(champion=champion(judged))
    assert record.verdict.outcome is Outcome.PASS
    assert record.facts["champion"] == "risk_v1-abc"


def test_a_challenger_worse_than_the_champion_stops(project):
    frame = mixed(4_000)
    judged = Judged(project, frame.drop(columns="city"), body=PLAIN)
    kept = judged.predictions
    truth = frame["y"].to_numpy()[kept["__row"]]
    better = champion(judged, lambda _: np.column_stack([0.9 - 0.8 * truth, 0.1 + 0.8 * truth]))
    found = fired(judged.verdict(champion=better))["model.champion"]
    assert found.outcome is Outcome.FAIL
    assert "risk_v1-abc" in found.message


def test_a_champion_s_classes_in_another_order_are_compared_all_the_same(project):
    judged = Judged(project, mixed(2_000))
    turned = champion(judged, lambda chances: chances[:, ::-1], classes=(1, 0))
    assert judged.verdict(champion=turned).outcome is Outcome.PASS


def test_the_first_release_skips_the_comparison_with_that_reason(project):
    verdict = Judged(project, mixed()).verdict()
    [found] = [f for f in verdict.findings if f.check == "model.champion"]
    assert found.outcome is Outcome.SKIPPED
    assert "first release" in found.message


def test_a_declared_segment_that_is_served_badly_is_told_and_does_not_stop(project):
    frame = mixed(4_000)
    random = np.random.default_rng(0)
    frame["channel"] = random.choice(["shop", "online"], len(frame))
    online = frame["channel"] == "online"
    frame.loc[online, "y"] = random.integers(0, 2, online.sum())
    verdict = Judged(project, frame, "label='y', segments=['channel'], ignore=['channel']").verdict()
    assert "'online'" in fired(verdict)["model.segment"].message
    assert verdict.accepted, verdict.fired


def test_a_model_that_raises_on_held_out_rows_is_told_with_its_name(project):
    frame = mixed(2_000)
    judged = Judged(project, frame[["count", "y"]], body="return LogisticRegression().fit(X, y)")
    holdout = project.workspace.frame(judged.assembled.outputs["holdout"]).copy()
    holdout.loc[0, "count"] = np.nan
    outputs = {**judged.assembled.outputs, "holdout": project.workspace.put_frame(holdout)}
    judged.assembled = Record(step="assemble", subject="risk_v1", outputs=outputs)
    with pytest.raises(GateFailed, match=r"risk_v1 raised ValueError on 4\d\d rows"):
        judged.record()


@pytest.mark.acceptance
@pytest.mark.skipif(not SHARED.exists(), reason="the real tables are not beside this repository")
@pytest.mark.parametrize("name", [name for name in TABLES if name != "digits"])
def test_honest_models_on_real_tables_pass(project, deepchecks, name):
    """The calibration of the model gate: no check fires but warnings."""
    read, declaration = TABLES[name]
    frame = read()
    label = declaration.split("'")[1]
    regression = frame[label].nunique() > 20
    judged = Judged(project, frame, declaration, REGRESSION if regression else BOOSTED)
    verdict = judged.verdict(deepchecks=deepchecks)
    assert verdict.outcome is Outcome.PASS, verdict.fired


def two_sensors(rows: int = 2_000) -> pd.DataFrame:
    """Two sensors of one hidden cause, of which the new one is honestly better."""
    random = np.random.default_rng(2)
    cause = random.normal(size=rows)
    noise = random.normal(size=(2, rows)) * [[0.9], [0.65]]
    sensors = {"old": cause + noise[0], "new": cause + noise[1]}
    return pd.DataFrame(sensors).round(6).assign(y=(random.random(rows) < 1 / (1 + np.exp(-2 * cause))).astype(int))


LINE = "return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)"


def live(judged: Judged) -> Champion:
    """A trained model as the release to beat, with all that its training left behind."""
    digest, contract = judged.trained.outputs["model"], judged.project.contract(judged.assembled)
    estimator = models.load(judged.project.workspace.objects.path(digest), digest=digest)
    return Champion(
        "risk_v1-live",
        contract.classes,
        lambda rows: answers(estimator, model_inputs(rows, contract), contract),
        lambda rows: Refittable(estimator, model_inputs(rows, contract), contract),
    )


@pytest.fixture(scope="module")
def sensors(tmp_path_factory) -> tuple[Judged, Judged]:
    """2,000 rows, and a model for each sensor."""
    places = tmp_path_factory.mktemp("sensors")
    old = Judged(ModelProject(places / "old"), two_sensors(), "label='y', ignore=['new']", LINE)
    return old, Judged(ModelProject(places / "new"), two_sensors(), "label='y', ignore=['old']", LINE)


def about_champion(verdict: Verdict) -> Finding:
    return next(finding for finding in verdict.findings if finding.check == "model.champion")


def test_an_honest_improvement_that_the_holdout_cannot_decide_is_decided_by_cross_validation(sensors):
    """Promise 3: a team with 2,000 rows is told how to go on, and that way decides."""
    old, new = sensors
    held_out = about_champion(new.verdict(champion=live(old)))
    assert held_out.outcome is Outcome.INSUFFICIENT
    assert 'evidence = "cross-validation"' in held_out.next_step
    verdict = new.verdict(champion=live(old), evidence="cross-validation")
    found = about_champion(verdict)
    assert found.outcome is Outcome.PASS, found
    assert "5 times 5-fold cross-validation, variance corrected after Nadeau and Bengio" in found.message
    assert found.n == 2_000
    for check in ("model.floor", "model.baseline"):
        [other] = [f for f in verdict.findings if f.check == check]
        assert "cross-validation" in other.message


def test_a_worse_model_fails_by_cross_validation(sensors):
    old, new = sensors
    found = about_champion(old.verdict(champion=live(new), evidence="cross-validation"))
    assert found.outcome is Outcome.FAIL, found


def test_the_first_release_is_cross_validated_alone(sensors):
    found = {f.check: f for f in sensors[0].verdict(evidence="cross-validation", folds=3, repeats=1).findings}
    assert found["model.champion"].outcome is Outcome.SKIPPED
    assert "1 times 3-fold" in found["model.floor"].message


def test_a_champion_whose_training_is_gone_cannot_be_fitted_anew(sensors):
    old, new = sensors
    lost = dataclasses.replace(live(old), again=gone)
    found = about_champion(new.verdict(champion=lost, evidence="cross-validation", folds=2, repeats=1))
    assert found.outcome is Outcome.INSUFFICIENT
    assert "not in this store" in found.message


def test_rows_in_time_are_cross_validated_forwards(project):
    frame = two_sensors(602).assign(at=pd.date_range("2024-01-01", periods=602, freq="h"))
    judged = Judged(project, frame, "label='y', timestamp='at', label_delay='2h'", LINE)
    found = {f.check: f for f in judged.verdict(evidence="cross-validation", folds=3, repeats=2).findings}
    assert "3 windows in time" in found["model.floor"].message
    assert 290 <= found["model.floor"].n <= 300
