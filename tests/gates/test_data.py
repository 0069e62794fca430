from __future__ import annotations

import pandas as pd
import pytest

from mlops.gates.data import Ranking, judge_label, judge_shifts, judge_sides, no_champion
from mlops.statistics.attribution import Cost
from mlops.statistics.drift import Shift
from mlops.verdict import Outcome, Severity


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (None, "is not a column"),
        ([None, None], "is missing in all 2 rows"),
        ([1, 1, None], "is 1.0 in all 2 labelled rows"),
        ([], "is missing in all 0 rows"),
    ],
)
def test_a_label_that_cannot_teach_fails_with_a_clear_sentence(values, said):
    found = judge_label(None if values is None else pd.Series(values), label="y", model="m_v1")
    assert found.outcome is Outcome.FAIL
    assert said in found.message
    assert "m_v1" in found.message
    assert found.next_step


def test_a_label_with_two_values_passes():
    assert judge_label(pd.Series(["a", "b"]), label="y", model="m_v1").outcome is Outcome.PASS


def shift(effect: float, p: float = 0.0, n: int = 5_000) -> Shift:
    return Shift(column="amount", effect=effect, p=p, kind="values", n=n)


def test_a_column_that_moved_asks_for_a_retrain():
    [found] = judge_shifts([shift(0.4), shift(0.05)], champion="fraud_v1-abc")
    assert found.outcome is Outcome.FAIL
    assert found.severity is Severity.RETRAIN
    assert "'amount'" in found.message
    assert "fraud_v1-abc" in found.message


def test_columns_that_stayed_pass_with_the_largest_effect_named():
    [found] = judge_shifts([shift(0.05)], champion="fraud_v1-abc")
    assert found.outcome is Outcome.PASS
    assert found.measured == 0.05


def test_few_rows_are_a_skip_with_a_reason():
    [found] = judge_shifts([shift(0.4, n=500)], champion="c")
    assert found.outcome is Outcome.SKIPPED
    assert "1,000" in found.message
    assert no_champion("first release").outcome is Outcome.SKIPPED


def cost(column: str, loss: float) -> Cost:
    return Cost(column=column, loss=loss, interval=(loss * 0.9, loss * 1.1), n=5_000)


def moved(column: str, effect: float) -> Shift:
    interval = (effect - 0.05, effect + 0.05)
    return Shift(column=column, effect=effect, p=1e-9, kind="values", n=5_000, interval=interval)


def test_columns_come_in_the_order_of_what_they_cost_with_the_number_its_interval_and_its_unit():
    ranked = Ranking(costs=(cost("dear", 0.03), cost("cheap", 0.001)), unit="of Brier score", reason="it is not read")
    every = [moved("unread", 0.9), moved("cheap", 0.8), moved("dear", 0.2)]
    found = judge_shifts(every, champion="m_v1-a", ranked=ranked)
    assert [f.subject for f in found] == ["dear", "cheap", "unread"]
    assert "up to 0.03 of Brier score (0.027 to 0.033, 5,000 rows) (number 1 of 3)" in found[0].message
    assert "not known: it is not read" in found[2].message
    assert found[0].interval == (pytest.approx(0.15), pytest.approx(0.25))
    assert found[0].threshold == 0.1


def test_the_next_step_is_the_callers_and_a_sample_says_of_how_many_rows_it_is():
    [found] = judge_shifts([moved("a", 0.4)], champion="m_v1-a", of=10_000_000, next_step="look at its feed")
    assert found.next_step == "look at its feed"
    assert "sample of 5,000 of 10,000,000 rows" in found.message


def sides(train: list[float | None], holdout: list[float | None]):
    whole = [pd.DataFrame({"fed": side, "steady": range(len(side))}) for side in (train, holdout)]
    return judge_sides(*whole)


@pytest.mark.parametrize(
    ("train", "holdout", "said"),
    [
        ([1.0] * 50, [None] * 20, "column 'fed' is empty in all 20 held-out rows, and not in the training rows"),
        ([None] * 50, [1.0] * 20, "column 'fed' is empty in all 50 training rows, and not in the held-out rows"),
    ],
)
def test_a_feed_that_stops_or_begins_at_the_split_is_a_warning(train, holdout, said):
    [found] = sides(train, holdout)
    assert (found.outcome, found.severity, found.subject) == (Outcome.FAIL, Severity.WARN, "fed")
    assert found.message == said
    assert found.next_step


@pytest.mark.parametrize(
    ("train", "holdout"),
    [
        ([1.0] * 50, [2.0] * 20),
        ([None] * 50, [None] * 20),
        ([1.0, *[None] * 49], [None] * 20),  # so rare that it is missing from the other side by chance
        ([1.0] * 50, [1.0, *[None] * 19]),
    ],
)
def test_gaps_on_both_sides_or_by_chance_are_no_warning(train, holdout):
    [found] = sides(train, holdout)
    assert found.outcome is Outcome.PASS
    assert "none of 2 columns" in found.message
