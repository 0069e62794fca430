"""Segments: declared ones, those that a search finds, and a challenger that is worse for some."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops.gates.consistency import judge_consistency
from mlops.gates.segments import judge_segments, show
from mlops.gates.weak_segments import judge_weak
from mlops.statistics.influence import Answers, measure
from mlops.verdict import Outcome, Severity


def payments(seed: int, n: int = 4_000) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "amount": random.gamma(2, 40, n),
            "age": random.integers(18, 80, n),
            "visits": random.poisson(3, n),
            "channel": random.choice(["online", "shop", "phone"], n, p=[0.4, 0.4, 0.2]),
        }
    )


def honest(table: pd.DataFrame, seed: int, *, rare: bool = False) -> Answers:
    """What a model says that knows all there is to know: it is unsure in places, and says so."""
    chance = 1 / (1 + np.exp(-((table.amount - 80) / 30 + (table.channel == "online") - (4 if rare else 0)).to_numpy()))
    actual = (np.random.default_rng(seed).random(len(table)) < chance).astype(float)
    return Answers(actual, (chance > 0.5).astype(float), np.column_stack([1 - chance, chance]))


def wrong(said: Answers, rows: np.ndarray, seed: int = 0) -> Answers:
    """The same answers, whose labels in some rows are chance."""
    actual = said.actual.copy()
    actual[rows] = np.random.default_rng(seed).integers(0, 2, rows.sum())
    return Answers(actual, said.predicted, said.probabilities)


def test_a_weak_segment_is_found_and_named_in_words():
    table = payments(1)
    rows = ((table.amount > 100) & (table.channel == "online")).to_numpy()
    worst = judge_weak("roc_auc", wrong(honest(table, 1), rows), table, seed=0)[0]
    assert worst.outcome is Outcome.FAIL
    assert worst.severity is Severity.WARN
    assert "channel = 'online'" in worst.segment
    assert "amount > " in worst.segment
    assert worst.segment in worst.message
    assert worst.interval[0] < worst.measured < worst.interval[1] < 0
    assert rows[list(worst.rows)].all()
    assert worst.next_step


def test_a_weak_segment_is_found_in_nearly_every_table():
    hits = 0
    for seed in range(20):
        table = payments(seed)
        rows = ((table.amount > 100) & (table.channel == "online")).to_numpy()
        hits += judge_weak("roc_auc", wrong(honest(table, seed), rows, seed), table, seed=seed)[0].fired
    assert hits >= 18


@pytest.mark.parametrize("rare", [False, True])
def test_a_model_without_a_weak_segment_raises_an_alarm_in_at_most_5_of_100(rare):
    """The region where it is unsure has a low metric, too; it says so, and that is no weakness."""
    alarms = 0
    for seed in range(200):
        table = payments(seed, 1_500)
        alarms += judge_weak("roc_auc", honest(table, seed, rare=rare), table, seed=seed)[0].fired
    assert alarms <= 10


def test_a_regression_is_searched_by_its_errors():
    table = payments(2)
    random = np.random.default_rng(0)
    predicted = table.amount.to_numpy() * 2
    blind = (table.visits > 4).to_numpy()
    actual = predicted + random.normal(0, np.where(blind, 60, 10))
    worst = judge_weak("neg_mean_absolute_error", Answers(actual, predicted), table, seed=0)[0]
    assert "visits > 4.5" in worst.segment
    even = Answers(predicted + random.normal(0, 10, len(table)), predicted)
    assert judge_weak("r2", even, table, seed=0)[0].outcome is Outcome.PASS


def test_missing_values_can_be_a_weak_segment():
    table = payments(3)
    table.loc[::5, "age"] = np.nan
    worst = judge_weak("roc_auc", wrong(honest(table, 3), table.age.isna().to_numpy()), table, seed=0)[0]
    assert worst.segment == "age is missing"


def test_too_few_rows_are_not_searched_and_that_is_said():
    table = payments(1, 100)
    [found] = judge_weak("roc_auc", honest(table, 1), table, seed=0)
    assert found.outcome is Outcome.SKIPPED
    assert "100 held-out rows are too few" in found.message


def test_a_weak_value_of_a_declared_column_is_named_and_a_small_one_is_not_judged():
    table = payments(4)
    table.loc[:9, "channel"] = "rare"
    said = honest(table, 4)
    broken = wrong(said, (table.channel == "online").to_numpy())
    [found] = judge_segments("roc_auc", broken, {"channel": table.channel})
    assert found.outcome is Outcome.FAIL
    assert found.segment == "channel = 'online'"
    assert "1 value has too few rows" in found.message
    assert found.interval[1] < found.threshold < 0
    [found] = judge_segments("roc_auc", said, {"channel": table.channel})
    assert found.outcome is Outcome.PASS


def test_a_column_of_many_numbers_is_cut_into_quarters():
    table = payments(5)
    said = honest(table, 5)
    [found] = judge_segments("accuracy", wrong(said, (table.amount < 30).to_numpy()), {"amount": table.amount})
    assert found.segment.startswith("amount ≤ ")


def test_the_metric_by_segment_is_shown_with_intervals():
    table = payments(6)
    [plot] = show("roc_auc", honest(table, 6), {"channel": table.channel})
    [bars] = plot.series
    assert bars.x[0] == "all 4,000 rows"
    assert "channel = 'phone'" in bars.x
    assert all(low < y < high for low, y, high in zip(bars.low, bars.y, bars.high, strict=True))


def consistency(challenger: Answers, champion: Answers, table: pd.DataFrame, **segments: pd.Series):
    return judge_consistency(
        "roc_auc", (challenger, champion), table, segments, margin=0.02, release="fraud_v1-abc", seed=0
    )


def blurred(said: Answers, rows: np.ndarray, by: float, seed: int = 9) -> Answers:
    """The same model, but for noise in its answers for some rows."""
    noise = np.random.default_rng(seed).normal(0, by, rows.size) * rows
    score = np.log(said.probabilities[:, 1] / said.probabilities[:, 0]) + noise
    chance = 1 / (1 + np.exp(-score))
    return Answers(said.actual, (chance > 0.5).astype(float), np.column_stack([1 - chance, chance]))


@pytest.mark.parametrize("declared", [True, False])
def test_a_challenger_better_overall_and_worse_for_some_is_told_with_the_segment(declared):
    table = payments(7, 6_000)
    best = honest(table, 7)
    phone = (table.channel == "phone").to_numpy()
    champion, challenger = blurred(best, ~phone, 2.0), blurred(best, phone, 4.0)
    assert measure("roc_auc", challenger).value > measure("roc_auc", champion).value
    found = consistency(challenger, champion, table, **({"channel": table.channel} if declared else {}))[0]
    assert found.outcome is Outcome.FAIL
    assert found.severity is Severity.WARN
    assert found.segment == "channel = 'phone'"
    assert "fraud_v1-abc" in found.message


def test_a_challenger_that_is_worse_everywhere_is_no_matter_of_segments():
    """model.champion says it; a list of all its segments would say it again."""
    table = payments(8, 6_000)
    best = honest(table, 8)
    [found] = consistency(blurred(best, np.ones(6_000, bool), 3.0), best, table, channel=table.channel)
    assert found.outcome is Outcome.PASS


def test_two_models_that_differ_by_chance_alone_are_consistent():
    alarms = 0
    for seed in range(100):
        table = payments(seed, 1_500)
        best = honest(table, seed)
        one, other = (blurred(best, np.ones(1_500, bool), 0.5, seed + 1_000 * k) for k in (1, 2))
        alarms += consistency(one, other, table, channel=table.channel)[0].fired
    assert alarms <= 5


def test_segments_without_enough_rows_are_skipped_with_that_reason():
    table = payments(1, 60)
    [found] = consistency(honest(table, 1), honest(table, 1), table, channel=table.channel)
    assert found.outcome is Outcome.SKIPPED
