"""PROMISES 4, simulated: how often clean windows raise an alarm, and how often real shifts are found."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from mlops.statistics.drift import Shift, shifts

Window = Mapping[str, pd.Series]
WORDS = np.array(["a", "b", "c", "d", "e"], dtype=object)
SHARES = np.array([0.4, 0.3, 0.2, 0.08, 0.02])


def numbers(random: np.random.Generator, n: int) -> dict[str, pd.Series]:
    """Twenty numbers, half of them skewed."""
    normal, skewed = random.normal(size=(10, n)), random.gamma(2, 1, size=(10, n))
    return {f"f{k}": pd.Series(row) for k, row in enumerate([*normal, *skewed])}


def mixed(random: np.random.Generator, n: int) -> dict[str, pd.Series]:
    """Twenty columns of every kind: numbers, counts, words, truths, and four with gaps."""
    columns: dict[str, pd.Series] = {f"n{k}": pd.Series(row) for k, row in enumerate(random.normal(size=(6, n)))}
    columns |= {f"c{k}": pd.Series(row) for k, row in enumerate(random.poisson(2, size=(4, n)))}
    columns |= {f"w{k}": pd.Series(random.choice(WORDS, n, p=SHARES)) for k in range(4)}
    columns |= {f"t{k}": pd.Series(random.random(n) < 0.3) for k in range(2)}
    gaps = [pd.Series(row).mask(random.random(n) < 0.2) for row in random.normal(size=(4, n))]
    return columns | {f"g{k}": values for k, values in enumerate(gaps)}


def found(before: Window, now: Window) -> list[Shift]:
    return [shift for shift in shifts(before, now) if shift.found]


@pytest.mark.parametrize("make", [numbers, mixed])
@pytest.mark.parametrize("n", [1_000, 5_000])
def test_clean_windows_raise_an_alarm_in_one_of_twenty_at_most(make, n):
    """Promise 4: 500 clean windows of 20 features, of numbers and of every kind."""
    random = np.random.default_rng(n)
    reference = make(random, n)
    alarms = 0
    for _ in range(500):
        now = make(random, n)
        alarms += bool(found(reference, now))
        reference = now
    assert alarms <= 25


def test_a_shift_that_only_many_rows_can_see_raises_no_alarm():
    """Promise 4: n=100,000, 0.02 standard deviations: significant for certain, and of no matter."""
    random = np.random.default_rng(0)
    least = 1.0
    for _ in range(20):
        before, after = numbers(random, 100_000), numbers(random, 100_000)
        after = {name: values + 0.02 * values.std() for name, values in after.items()}
        result = shifts(before, after)
        assert not any(shift.found for shift in result)
        least = min(least, *(shift.p for shift in result))
    assert least < 0.01, "the test alone would have raised an alarm; the effect's size is what prevents it"


def _moved(random: np.random.Generator, values: pd.Series) -> pd.Series:
    return values + 0.3 * values.std()


def _reworded(random: np.random.Generator, values: pd.Series) -> pd.Series:
    """Fifteen of a hundred rows that said "a" say "e" now."""
    turned = (values == "a") & (random.random(len(values)) < 0.4)
    return values.mask(turned, "e")


def _missing(random: np.random.Generator, values: pd.Series) -> pd.Series:
    return values.mask(random.random(len(values)) < 0.2)


@pytest.mark.parametrize(
    ("column", "change", "kind"),
    [
        pytest.param("n0", _moved, "values", id="a number moved by 0.3 standard deviations"),
        pytest.param("w0", _reworded, "categories", id="words of a sixth of the rows changed"),
        pytest.param("n0", _missing, "missing", id="a fifth of the rows went missing"),
        pytest.param("g0", _missing, "missing", id="a fifth of what was there went missing"),
    ],
)
def test_a_shift_in_one_of_twenty_columns_is_found(
    column: str, change: Callable[[np.random.Generator, pd.Series], pd.Series], kind: str
):
    """Promise 4: n=2,000, found in 99 of 100, by its name and its kind; nothing else is."""
    random = np.random.default_rng(1)
    times, hits, others = 200, 0, 0
    for _ in range(times):
        before, after = mixed(random, 2_000), mixed(random, 2_000)
        named = [(s.column, s.kind) for s in found(before, {**after, column: change(random, after[column])})]
        hits += (column, kind) in named
        others += bool([name for name, _ in named if name != column])
    assert hits >= 0.99 * times
    assert others <= 0.05 * times


def test_the_interval_of_an_effect_holds_the_truth_nineteen_times_of_twenty():
    """Of a shift by 0.3 standard deviations, of a word's share by a sixth, of gaps by a fifth."""
    random = np.random.default_rng(2)
    times, held = 300, {"values": 0, "categories": 0, "missing": 0}
    truth = {"values": 0.3, "categories": 1 / 6, "missing": 0.2}
    three = np.array(["a", "b", "c"], dtype=object)
    for _ in range(times):
        a, b = random.normal(size=(2, 2_000))
        before = {"x": a, "y": random.choice(three, 2_000), "z": pd.Series(a).mask(random.random(2_000) < 0.1)}
        now = {
            "x": b + 0.3,
            "y": random.choice(three, 2_000, p=[0.5, 0.3, 0.2]),
            "z": pd.Series(b).mask(random.random(2_000) < 0.3),
        }
        for shift in shifts({k: pd.Series(v) for k, v in before.items()}, {k: pd.Series(v) for k, v in now.items()}):
            assert shift.interval is not None
            held[shift.kind] += shift.interval[0] <= truth[shift.kind] <= shift.interval[1]
    assert all(0.9 * times <= count for count in held.values()), held
