from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mlops.statistics.drift import holm, kolmogorov_smirnov, shifts, wasserstein


def window(random: np.random.Generator, n: int, moved: float = 0.0) -> dict[str, pd.Series]:
    """Twenty features of n rows; the first is moved."""
    values = random.normal(size=(20, n))
    values[0] += moved
    return {f"f{k}": pd.Series(row) for k, row in enumerate(values)}


def test_few_rows_never_raise_an_alarm():
    random = np.random.default_rng(0)
    assert not any(s.found for s in shifts(window(random, 900), window(random, 900, moved=3.0)))


def test_the_feature_that_moved_is_the_one_named():
    random = np.random.default_rng(1)
    found = shifts(window(random, 2_000), window(random, 2_000, moved=0.5))
    assert [s.column for s in found if s.found] == ["f0"]
    assert found[0].effect == pytest.approx(0.5, abs=0.1)


def test_categories_that_move_are_found_and_those_that_do_not_are_not():
    random = np.random.default_rng(2)
    before = pd.Series(random.choice(["a", "b", "c"], 3_000))
    same = pd.Series(random.choice(["a", "b", "c"], 3_000))
    moved = pd.Series(random.choice(["a", "b", "d"], 3_000))
    assert not shifts({"x": before}, {"x": same})[0].found
    found = shifts({"x": before}, {"x": moved})[0]
    assert found.found
    assert found.kind == "categories"


def test_values_that_go_missing_are_a_shift():
    random = np.random.default_rng(3)
    before, after = pd.Series(random.normal(size=3_000)), pd.Series(random.normal(size=3_000))
    found = shifts({"x": before}, {"x": after.where(random.random(3_000) > 0.3)})[0]
    assert found.found
    assert found.kind == "missing"


def test_odd_columns_are_borne():
    n = 2_000
    odd = {
        "gone": pd.Series(np.full(n, np.nan)),
        "constant": pd.Series(np.ones(n)),
        "infinite": pd.Series(np.r_[np.inf, np.zeros(n - 1)]),
        "truth": pd.Series(np.arange(n) % 2 == 0),
        "time": pd.Series(pd.date_range("2024-01-01", periods=n, freq="h")),
    }
    assert not any(s.found for s in shifts(odd, odd))
    assert shifts({"x": odd["constant"]}, {"x": odd["constant"] + 1})[0].found
    assert shifts({"x": odd["gone"]}, {"x": odd["constant"]})[0].found


def test_the_parts_agree_with_scipy():
    random = np.random.default_rng(4)
    first, second = np.sort(random.normal(size=500)), np.sort(random.normal(0.2, 1, size=800))
    assert kolmogorov_smirnov(first, second) == pytest.approx(
        stats.ks_2samp(first, second, method="asymp").pvalue, rel=0.25
    )
    assert wasserstein(first, second) == pytest.approx(stats.wasserstein_distance(first, second), rel=0.02)
    assert holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
