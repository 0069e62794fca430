from __future__ import annotations

import numpy as np
import pytest

from mlops.faults import model as faults
from mlops.gates import model as gate
from mlops.gates.comparison import first_release, judge_champion
from mlops.statistics.influence import Answers, measure
from mlops.verdict import Outcome, Severity

RANDOM = np.random.default_rng(0)


def answers(n: int = 2_000, strength: float = 1.5, actual: np.ndarray | None = None) -> Answers:
    actual = (RANDOM.random(n) < 0.3).astype(float) if actual is None else actual
    score = 1 / (1 + np.exp(-(actual * strength * 2 - strength + RANDOM.normal(size=actual.size))))
    return Answers(actual, (score > 0.5).astype(float), np.column_stack([1 - score, score]))


def floor(said: Answers, value: float | None):
    return gate.judge_floor("roc_auc", measure("roc_auc", said), value, model="fraud")


def test_no_floor_is_a_failure_with_the_line_to_add():
    found = floor(answers(), None)
    assert found.outcome is Outcome.NOT_RUN
    line = found.next_step.partition("[tool.mlops.models.fraud] floor = ")[2]
    assert floor(answers(), float(line)).outcome is Outcome.PASS


def test_a_model_below_its_floor_fails():
    found = floor(answers(strength=0.1), 0.9)
    assert found.outcome is Outcome.FAIL
    assert found.interval is not None
    assert found.n == 2_000


def test_a_little_below_the_floor_on_few_rows_is_insufficient():
    said = answers(60)
    assert floor(said, measure("roc_auc", said).value + 0.01).outcome is Outcome.INSUFFICIENT


def test_a_metric_that_the_rows_do_not_define_did_not_run():
    assert floor(answers(actual=np.zeros(50)), 0.5).outcome is Outcome.NOT_RUN


def test_a_model_no_better_than_a_constant_fails():
    said = answers()
    noise = RANDOM.random(said.actual.size)
    empty = Answers(said.actual, (noise > 0.5).astype(float), np.column_stack([1 - noise, noise]))
    for metric in ("roc_auc", "average_precision", "f1", "accuracy", "neg_log_loss"):
        assert gate.judge_baseline(metric, empty, 2, said.actual).fired, metric
        assert gate.judge_baseline(metric, answers(actual=said.actual), 2, said.actual).outcome is Outcome.PASS, metric


def champion(challenger: Answers, other: Answers, margin: float = 0.01):
    return judge_champion("roc_auc", challenger, other, margin=margin, release="fraud_v1-abc")


def test_a_worse_challenger_fails_and_an_equal_one_passes():
    said = answers(10_000)
    assert champion(said, said).outcome is Outcome.PASS
    found = champion(answers(actual=said.actual, strength=0.5), said)
    assert found.outcome is Outcome.FAIL
    assert "fraud_v1-abc" in found.message


def test_too_few_rows_name_a_margin_and_a_number_of_rows():
    said = answers(300)
    found = champion(answers(actual=said.actual), said)
    assert found.outcome is Outcome.INSUFFICIENT
    assert "can decide a margin of" in found.next_step
    assert "rows" in found.next_step


def test_a_model_that_lies_near_the_margin_is_not_told_to_collect_rows_that_are_there():
    """These rows would pass an equal model: it is this one that is too close to worse."""
    said = answers(8_000)
    row = np.arange(8_000)
    near = Answers(
        said.actual, said.predicted, np.where((row % 100 < 4)[:, None], said.probabilities[::-1], said.probabilities)
    )
    found = champion(near, said, margin=-(measure("roc_auc", near).value - measure("roc_auc", said).value) * 1.02)
    assert found.outcome is Outcome.INSUFFICIENT
    assert found.message.startswith("too close to the margin to decide")
    assert "improve it" in found.next_step
    assert "mlops override model.champion" in found.next_step
    assert "hold out" not in found.next_step


def test_the_margin_of_an_error_is_a_share_of_the_champions():
    actual = RANDOM.normal(1e6, 1e5, 5_000)
    close = Answers(actual, actual + RANDOM.normal(0, 1000, actual.size))
    found = judge_champion("neg_mean_absolute_error", close, close, margin=0.01, release="c")
    assert found.threshold == pytest.approx(-0.01 * np.abs(close.predicted - actual).mean())


def test_a_champion_without_probabilities_cannot_be_compared_by_them():
    said = answers(100)
    assert champion(said, Answers(said.actual, said.predicted)).outcome is Outcome.NOT_RUN


def test_the_first_release_is_skipped_with_that_reason():
    found = first_release()
    assert found.outcome is Outcome.SKIPPED
    assert "first release" in found.message


@pytest.mark.parametrize("broken", [faults.not_numbers(answers()), Answers(np.zeros(3), np.array([1.0, np.inf, 0.0]))])
def test_answers_that_are_not_numbers_fail(broken):
    found = gate.judge_finite(broken.predicted, broken.probabilities)
    assert found.outcome is Outcome.FAIL
    assert found.rows


def test_chances_that_do_not_add_up_fail():
    assert gate.judge_finite(np.zeros(2), np.array([[0.5, 0.5], [0.9, 0.9]])).rows == (1,)


def test_an_overfitted_model_is_said_to_be():
    sharp, blunt = measure("roc_auc", answers(strength=5)), measure("roc_auc", answers(strength=0.5))
    found = gate.judge_overfit("roc_auc", sharp, blunt)
    assert found.outcome is Outcome.FAIL
    assert found.severity is Severity.WARN
    assert gate.judge_overfit("roc_auc", sharp, sharp).outcome is Outcome.PASS


def test_classes_in_another_order_are_put_in_ours():
    chances = np.array([[0.9, 0.1], [0.2, 0.8]])
    said = gate.coded(["b", "a"], ["b", "new"], chances, ("a", "b"), ("b", "a"))
    assert said.actual.tolist() == [1, 0]
    assert said.predicted.tolist() == [1, -1]
    assert said.probabilities.tolist() == [[0.1, 0.9], [0.8, 0.2]]


def test_metrics_are_those_of_the_task():
    assert set(gate.metrics("regression", Answers(np.arange(5.0), np.arange(5.0) + 1))) == {
        "r2",
        "neg_mean_absolute_error",
        "neg_root_mean_squared_error",
    }
    assert "roc_auc" not in gate.metrics("binary", Answers(np.array([0.0, 1]), np.array([0.0, 1])))
