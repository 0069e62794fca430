"""Expectations of a model tell which rows break them, from what answer to what."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from mlops import expect
from mlops.verdict import Outcome

ROWS = pd.DataFrame({"amount": np.linspace(1, 100, 50), "name": ["Ada", "Bob"] * 25}, index=range(200, 250))


def sound(rows: pd.DataFrame) -> np.ndarray:
    return rows["amount"].to_numpy() / 1_000


def biased(rows: pd.DataFrame) -> np.ndarray:
    return sound(rows) + 0.2 * (rows["name"] == "Ada").to_numpy()


def folded(rows: pd.DataFrame) -> np.ndarray:
    """It falls from 80 on."""
    return -np.abs(rows["amount"].to_numpy() - 80) / 100


def test_what_must_not_matter_and_does_is_told_with_rows_and_both_answers():
    found = expect.invariant(biased, ROWS, change={"name": "Cy"})
    assert found.outcome is Outcome.FAIL
    assert found.measured == 0.5
    assert found.n == 50
    assert found.rows[:2] == (200, 202)
    assert "name = 'Cy'" in found.message
    assert "row 200: 0.201 to 0.001" in found.message
    assert expect.invariant(sound, ROWS, change={"name": "Cy"}).outcome is Outcome.PASS


def test_an_expectation_can_be_asserted_and_says_why_it_does_not_hold():
    assert expect.invariant(sound, ROWS, change={"name": "Cy"})
    with pytest.raises(AssertionError, match="in 25 of 50 rows"):
        assert expect.invariant(biased, ROWS, change={"name": "Cy"})
    with pytest.raises(AssertionError, match="no rows"):
        assert expect.within(sound, ROWS[:0], 0, 1)


def test_a_change_may_be_a_function_of_a_column_or_of_the_frame():
    by_column = expect.invariant(biased, ROWS, change={"name": lambda names: names[::-1].to_numpy()})
    by_frame = expect.invariant(biased, ROWS, change=lambda rows: rows.assign(name=rows["name"].str.lower()))
    assert by_column.outcome is by_frame.outcome is Outcome.FAIL
    assert ROWS["name"].iloc[0] == "Ada", "the rows stay as they were"


def test_a_share_of_rows_may_be_allowed_to_break_it_and_small_moves_are_tolerated():
    assert expect.invariant(biased, ROWS, change={"name": "Cy"}, allowed=0.5).outcome is Outcome.PASS
    assert expect.invariant(biased, ROWS, change={"name": "Cy"}, tolerance=0.3).outcome is Outcome.PASS


def test_a_direction_is_demanded_of_every_row():
    assert expect.increasing(sound, ROWS, "amount", by=10).outcome is Outcome.PASS
    assert expect.decreasing(sound, ROWS, "amount", by=10).outcome is Outcome.FAIL
    found = expect.increasing(folded, ROWS, "amount", by=10)
    assert found.outcome is Outcome.FAIL
    assert min(found.rows) == ROWS.index[ROWS.amount > 75][0]
    assert "amount +10 makes answers fall" in found.message


def test_rows_without_a_value_are_left_out_of_a_direction():
    gone = ROWS.assign(amount=ROWS["amount"].where(ROWS["amount"] < 50))
    assert expect.increasing(sound, gone, "amount", by=1).n == int((ROWS["amount"] < 50).sum())


def test_answers_out_of_bounds_are_told_and_nan_is_out_of_bounds():
    assert expect.within(sound, ROWS, 0, 1).outcome is Outcome.PASS
    assert expect.within(lambda rows: np.full(len(rows), np.nan), ROWS, 0, 1).outcome is Outcome.FAIL


def test_probabilities_of_many_classes_and_words_can_be_invariant():
    chances = lambda rows: np.column_stack([biased(rows), 1 - biased(rows)])  # noqa: E731
    words = lambda rows: np.where(biased(rows) > 0.15, "yes", "no")  # noqa: E731
    for predict in (chances, words):
        assert expect.invariant(predict, ROWS, change={"name": "Cy"}).outcome is Outcome.FAIL
        assert expect.invariant(predict, ROWS, change={"name": ROWS["name"].to_numpy()}).outcome is Outcome.PASS
    with pytest.raises(ValueError, match="one number for each row"):
        expect.increasing(chances, ROWS, "amount", by=1)


@pytest.mark.parametrize(
    "ask", [expect.increasing, lambda p, r, column, by: expect.invariant(p, r, change={column: 1})]
)
def test_a_column_that_is_not_there_is_an_error_and_no_pass(ask):
    with pytest.raises(ValueError, match="no column 'amuont'; they have amount, name"):
        ask(sound, ROWS, "amuont", by=1)


def test_no_rows_are_no_pass():
    """Promise 2."""
    none = ROWS[:0]
    for found in (
        expect.invariant(sound, none, change={"name": "Cy"}),
        expect.increasing(sound, none, "amount", by=1),
        expect.within(sound, none, 0, 1),
    ):
        assert found.outcome is Outcome.NOT_RUN


def test_a_large_table_is_asked_evenly():
    many = pd.DataFrame({"amount": np.arange(100_001.0)})
    found = expect.within(sound, many, 0, 50)
    assert found.n <= 10_000
    assert found.measured == pytest.approx(0.5, abs=0.01)


def test_importing_it_loads_neither_numpy_nor_pandas():
    code = "import sys; from mlops import expect; assert not {'numpy', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
