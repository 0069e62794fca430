"""A conversion moves all quantiles alike; growth, drift, another shape and few rows are none."""

from __future__ import annotations

import numpy as np
import pytest

from mlops.facts import LEVELS
from mlops.statistics.units import jump

random = np.random.default_rng(3)
AMOUNTS = random.lognormal(3, 1, 20_000)


def quantiles(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.quantile(values, LEVELS))


@pytest.mark.parametrize("factor", [100, 0.001, 3600, 25.4, 2.54, 1 / 2.204623])
def test_the_factor_and_its_meaning_are_told(factor):
    found = jump(quantiles(AMOUNTS), quantiles(random.lognormal(3, 1, 20_000) * factor), 20_000)
    assert found.factor == pytest.approx(factor, rel=1e-6)
    assert found.words


def test_columns_of_both_signs_have_units_too():
    balance = random.normal(10, 100, 5_000)
    assert jump(quantiles(balance), quantiles(random.normal(10, 100, 5_000) * 100), 5_000).factor == pytest.approx(100)
    assert jump(quantiles(balance), quantiles(balance + 50), 5_000) is None


def test_a_shifted_scale_has_no_factor():
    celsius = random.normal(20, 5, 5_000)
    found = jump(quantiles(celsius), quantiles(celsius * 1.8 + 32), 5_000)
    assert (found.factor, "Fahrenheit" in found.words) == (None, True)


def test_another_shape_at_the_same_ratio_of_medians_is_no_conversion():
    assert jump(quantiles(AMOUNTS), quantiles(np.exp(random.normal(3 + np.log(100), 3, 20_000))), 20_000) is None


def test_few_values_say_nothing():
    assert jump(quantiles(AMOUNTS), quantiles(AMOUNTS * 1000), 99) is None
    assert jump(quantiles(AMOUNTS), (), 0) is None
