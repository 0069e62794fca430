from __future__ import annotations

import numpy as np
import pytest

from mlops.statistics.blocks import paired_ratio


def test_the_ratio_is_the_geometric_mean_of_the_pairs():
    ratio = paired_ratio([2.0, 8.0], [1.0, 2.0])
    assert ratio.value == pytest.approx(8**0.5)
    half = 12.706 * np.log(2) / 2  # Student's t with one degree of freedom; the logs are ln 2 and ln 4
    assert (np.log(ratio.low), np.log(ratio.high)) == (
        pytest.approx(1.5 * np.log(2) - half, rel=1e-4),
        pytest.approx(1.5 * np.log(2) + half, rel=1e-4),
    )
    assert ratio.pairs == 2


def test_one_pair_says_nothing_of_its_spread():
    ratio = paired_ratio([2.0], [1.0])
    assert (ratio.value, ratio.low, ratio.high) == (2.0, 0.0, float("inf"))


def test_the_interval_covers_what_it_says():
    """Of 2,000 times eight pairs: 95 in 100, within three standard errors; the percentile bootstrap covers 89."""
    random = np.random.default_rng(3)
    logs = random.normal(0, 0.2, (2000, 8))
    found = [paired_ratio(1.3 * np.exp(one), np.ones(8)) for one in logs]
    covered = np.mean([one.low <= 1.3 <= one.high for one in found])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_what_both_share_cancels_out():
    """A machine that gets ten times slower meanwhile slows both."""
    drift = np.geomspace(1.0, 10.0, 8)
    ratio = paired_ratio(1.3 * drift, drift)
    assert (ratio.low, ratio.high) == (pytest.approx(1.3), pytest.approx(1.3))


def test_the_inverse_has_the_inverse_interval():
    random = np.random.default_rng(1)
    ours, theirs = random.lognormal(0.2, 0.1, 8), random.lognormal(0.0, 0.1, 8)
    one, other = paired_ratio(ours, theirs), paired_ratio(theirs, ours)
    assert one.low == pytest.approx(1 / other.high)
    assert one.value == pytest.approx(1 / other.value)


def test_an_equal_one_is_hardly_ever_called_half_again_as_slow():
    """Eight pairs with a tenth of noise: none of 300, and one that is twice as slow is found each time."""
    random = np.random.default_rng(7)

    def lower(times):
        return paired_ratio(times * random.lognormal(0, 0.1, 8), random.lognormal(0, 0.1, 8)).low

    assert sum(lower(1.0) > 1.5 for _ in range(300)) == 0
    assert sum(lower(2.0) > 1.5 for _ in range(300)) == 300
