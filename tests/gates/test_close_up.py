"""The close-up inside `check-model`: segments, fairness, the user's expectations and what each feature is worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops.config import Fairness
from mlops.exhibits import OUTPUT, decode
from mlops.verdict import Finding, Outcome, Record
from tests.steps.projects import ModelProject, mixed
from tests.steps.test_check_model import Judged, champion, fired

FAIR = Fairness(error=0.2)


@pytest.fixture
def project(tmp_path: Path) -> ModelProject:
    return ModelProject(tmp_path / "project")


def of(record: Record, check: str) -> list[Finding]:
    assert record.verdict is not None
    return [found for found in record.verdict.findings if found.check == check]


def test_a_protected_column_beside_the_inputs_is_judged_and_shown(project):
    frame = mixed(4_000)
    frame["age"] = np.random.default_rng(0).choice(["young", "old"], len(frame))
    frame.loc[frame["age"] == "old", "y"] = np.random.default_rng(1).integers(0, 2, (frame["age"] == "old").sum())
    judged = Judged(project, frame, "label='y', protected=['age'], segments=['age'], ignore=['age']")
    record = judged.record(fairness=FAIR)
    [found] = of(record, "model.fairness")
    assert found.outcome is Outcome.FAIL
    assert not record.verdict.accepted
    assert "age = 'old'" in found.segment
    assert of(record, "model.weak-segment")[0].segment == "age = 'old'"
    titles = [one.title for one in decode(project.workspace.objects.get(record.outputs[OUTPUT]))]
    assert {"roc_auc by age", "error by age"} <= set(titles)


def test_a_protected_column_without_a_limit_stops_with_the_line_to_add(project):
    """Promise 2."""
    frame = mixed(2_000)
    verdict = Judged(project, frame, "label='y', protected=['city']").verdict()
    assert not verdict.accepted
    assert "[tool.mlops.models.risk] fairness = {" in fired(verdict)["model.fairness"].next_step


def test_a_challenger_that_forgets_a_segment_is_told_with_its_name(project):
    frame = mixed(4_000)
    judged = Judged(project, frame, "label='y', segments=['city'], ignore=['city']")
    rows = frame.iloc[judged.predictions["__row"]]
    ulm, truth = (rows["city"] == "Ulm").to_numpy(), rows["y"].to_numpy()
    luck = np.random.default_rng(0).random(len(truth))
    chance = np.where(ulm, 0.05 + 0.9 * truth, luck)
    other = champion(judged, lambda _: np.column_stack([1 - chance, chance]))
    told = of(judged.record(champion=other), "model.consistency")
    assert "city = 'Ulm'" in [found.segment for found in told]
    assert {found.outcome for found in told} == {Outcome.FAIL}
    assert not [found for found in told if "Bonn" in found.segment]


def test_a_users_check_may_ask_what_the_model_would_say(project):
    rules = """
        from mlops import check, expect

        @check(on="model")
        def the_city_does_not_matter(predict, rows):
            return expect.invariant(predict, rows, change={"city": "Bonn"}, tolerance=0.05)

        @check(on="model")
        def chances_are_chances(predict, rows):
            return expect.within(predict, rows, 0, 1)
    """
    judged = Judged(project, mixed(2_000))
    project.write("models/rules.py", rules)
    for read in ("catalog", "_read"):
        project.workspace.__dict__.pop(read, None)
    record = judged.record()
    [broken] = of(record, "own.the_city_does_not_matter")
    assert broken.outcome is Outcome.FAIL
    assert broken.rows
    assert of(record, "own.chances_are_chances")[0].outcome is Outcome.PASS
    assert not record.verdict.accepted


def test_what_is_derived_from_a_changed_column_changes_with_it(project):
    """A directional check of `amount` means the request's amount, with its on-demand features."""
    from mlops.gates.asking import Predict

    before = (
        "from mlops import on_demand\n@on_demand(inputs=['amount'])\n"
        "def doubled_v1(amount):\n    return amount.fillna(0) * 2.0\n"
    )
    model = project.declare(
        "return LogisticRegression().fit(X, y)",
        "label='y', features=['doubled_v1'], request=['count']",
        before=before,
    )
    assembled = project.assemble(model, mixed())
    contract = project.contract(assembled)

    class Sums:
        classes_ = (0, 1)

        def predict(self, frame: pd.DataFrame) -> np.ndarray:
            return np.zeros(len(frame))

        def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
            chance = frame["doubled_v1"].to_numpy() / 1_000
            return np.column_stack([1 - chance, chance])

    predict = Predict(Sums(), contract, project.workspace.catalog.pinned(model)[1])
    rows = project.workspace.frame(assembled.outputs["holdout"]).head(3)
    assert predict(rows.assign(amount=50.0)).tolist() == [0.1, 0.1, 0.1]
