from __future__ import annotations

import pandas as pd
import pytest

from mlops.gates.data import judge_label, judge_shifts, no_champion
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
