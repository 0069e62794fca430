"""Fairness: rates by group against a limit, and never a guess where the rows do not tell."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics

from mlops.config import Fairness
from mlops.gates.fairness import judge_fairness, show
from mlops.statistics.influence import Answers
from mlops.verdict import Finding, Outcome, Severity

N = 6_000


def groups(n: int = N, seed: int = 0) -> pd.Series:
    return pd.Series(np.random.default_rng(seed).choice(["young", "old"], n))


def answers(group: pd.Series, found: dict[str, float], seed: int = 1, *, positive: float = 0.4) -> Answers:
    """A model that finds that share of each group's positives, and takes a tenth of the negatives for positives."""
    random = np.random.default_rng(seed)
    actual = (random.random(len(group)) < positive).astype(float)
    rate = np.where(actual == 1, group.map(found).fillna(0.8), 0.1)
    predicted = (random.random(len(group)) < rate).astype(float)
    return Answers(actual, predicted, np.column_stack([1 - predicted, predicted]))


def judge(said: Answers, task: str = "binary", limits: Fairness | None = None, **columns: pd.Series) -> list[Finding]:
    limits = limits or Fairness(true_positive_rate=0.1)
    found = list(judge_fairness(task, said, columns, limits, model="loans"))
    msgspec.to_builtins(found)  # reports are plain values
    return found


def test_a_group_whose_positives_are_missed_fails_and_is_named():
    group = groups()
    [found] = judge(answers(group, {"young": 0.8, "old": 0.5}), age=group)
    assert found.outcome is Outcome.FAIL
    assert found.severity is Severity.FAIL
    assert found.segment == "age = 'young' against age = 'old'"
    assert found.measured == pytest.approx(0.3, abs=0.06)
    assert found.interval[0] > found.threshold == 0.1
    assert (group[list(found.rows)] == "old").all()
    assert found.next_step


def test_groups_that_are_treated_alike_pass():
    group = groups()
    [found] = judge(answers(group, {"young": 0.8, "old": 0.8}), age=group)
    assert found.outcome is Outcome.PASS
    assert found.interval[1] <= 0.1


def test_no_limit_never_passes_and_names_the_line_to_add():
    group = groups()
    [found] = judge(answers(group, {}), limits=Fairness(), age=group)
    assert found.outcome is Outcome.NOT_RUN
    assert "[tool.mlops.models.loans] fairness = { true_positive_rate = 0.1 }" in found.next_step
    [found] = judge(answers(group, {}), "regression", limits=Fairness(), age=group)
    assert "fairness = { error = 0.1 }" in found.next_step


def test_an_interval_with_the_limit_in_it_is_insufficient_and_names_rows():
    group = groups(400)
    [found] = judge(answers(group, {"young": 0.8, "old": 0.75}), age=group)
    assert found.outcome is Outcome.INSUFFICIENT
    assert found.interval[0] < 0.1 < found.interval[1]
    assert "rows that count would tell" in found.next_step


def test_a_group_too_small_to_be_judged_is_insufficient_not_ignored():
    group = groups()
    group.iloc[:12] = "other"
    [found] = judge(answers(group, {}), age=group)
    assert found.outcome is Outcome.INSUFFICIENT
    assert "age = 'other'" in found.message
    [found] = judge(answers(group, {"young": 0.8, "old": 0.4}), age=group)
    assert found.outcome is Outcome.FAIL, "a sure difference fails, whatever a small group would say"


def test_one_group_alone_cannot_be_compared():
    [found] = judge(answers(groups(), {}), age=pd.Series(["all"] * N))
    assert found.outcome is Outcome.INSUFFICIENT


def test_rows_without_a_value_are_a_group_of_their_own():
    group = groups()
    gone = np.random.default_rng(3).random(N) < 0.2
    said = answers(group.mask(gone, "gone"), {"young": 0.8, "old": 0.8, "gone": 0.3})
    [found] = judge(said, age=group.mask(gone))
    assert found.outcome is Outcome.FAIL
    assert "age is missing" in found.segment


def test_a_column_of_many_numbers_is_cut_into_quarters():
    age = pd.Series(np.random.default_rng(4).uniform(18, 80, N))
    said = answers(pd.Series(np.where(age > 64.5, "old", "young")), {"young": 0.8, "old": 0.3})
    [found] = judge(said, age=age)
    assert found.outcome is Outcome.FAIL
    assert "age > " in found.segment


def test_rates_are_those_of_fairlearn():
    group = groups()
    said = answers(group, {"young": 0.8, "old": 0.6})
    limits = Fairness(selection_rate=0.5, true_positive_rate=0.5, false_positive_rate=0.5, error=0.5)
    measured = [found.measured for found in judge(said, limits=limits, age=group)]
    given = {"y_true": said.actual, "y_pred": said.predicted, "sensitive_features": group}
    wanted = [
        metrics.selection_rate_difference(**given),
        metrics.true_positive_rate_difference(**given),
        metrics.false_positive_rate_difference(**given),
        metrics.zero_one_loss_difference(**given),
    ]
    assert measured == pytest.approx(wanted)
    assert metrics.equal_opportunity_difference(**given) == pytest.approx(measured[1])


def test_a_regression_is_judged_by_its_errors():
    group = groups()
    random = np.random.default_rng(5)
    actual = random.normal(100, 20, N)
    limits = Fairness(error=0.3)
    biased = Answers(actual, actual + random.normal(0, np.where(group == "old", 12, 6)))
    [found] = judge(biased, "regression", limits, age=group)
    assert found.outcome is Outcome.FAIL
    even = Answers(actual, actual + random.normal(0, 6, N))
    [found] = judge(even, "regression", limits, age=group)
    assert found.outcome is Outcome.PASS


def test_a_limit_that_does_not_fit_the_task_did_not_run():
    [found] = judge(answers(groups(), {}), "regression", age=groups())
    assert found.outcome is Outcome.NOT_RUN
    assert "choose one of error" in found.next_step


@pytest.mark.parametrize("at_limit", [True, False])
def test_errors_of_the_verdict_are_rare(at_limit):
    """A difference as large as the limit passes in 5 of 100 at most; equal groups never fail."""
    wrong = 0
    for seed in range(200):
        group = groups(1_500, seed)
        said = answers(group, {"young": 0.8, "old": 0.7 if at_limit else 0.8}, seed + 1_000)
        [found] = judge(said, age=group)
        wrong += found.outcome is (Outcome.PASS if at_limit else Outcome.FAIL)
    assert wrong <= 10


def test_rates_are_shown_by_group_with_intervals():
    group = groups()
    plots = show("binary", answers(group, {}), {"age": group}, Fairness())
    assert [plot.title for plot in plots][:2] == ["selection rate by age", "true positive rate by age"]
    [bars] = plots[1].series
    assert set(bars.x) == {"age = 'old'", "age = 'young'"}
    assert all(low < y < high for low, y, high in zip(bars.low, bars.y, bars.high, strict=True))
