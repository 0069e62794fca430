from __future__ import annotations

import numpy as np
import pytest

from mlops.statistics.blocks import paired_ratio


def test_the_ratio_is_the_geometric_mean_of_the_pairs():
    ratio = paired_ratio([2.0, 8.0], [1.0, 2.0], seed=0)
    assert ratio.value == pytest.approx(8**0.5)
    assert (ratio.low, ratio.high) == (pytest.approx(2.0), pytest.approx(4.0))
    assert ratio.pairs == 2


def test_what_both_share_cancels_out():
    """A machine that gets ten times slower meanwhile slows both."""
    drift = np.geomspace(1.0, 10.0, 8)
    ratio = paired_ratio(1.3 * drift, drift, seed=0)
    assert (ratio.low, ratio.high) == (pytest.approx(1.3), pytest.approx(1.3))


def test_the_inverse_has_the_inverse_interval():
    random = np.random.default_rng(1)
    ours, theirs = random.lognormal(0.2, 0.1, 8), random.lognormal(0.0, 0.1, 8)
    one, other = paired_ratio(ours, theirs, seed=0), paired_ratio(theirs, ours, seed=0)
    assert one.low == pytest.approx(1 / other.high)
    assert one.value == pytest.approx(1 / other.value)


def test_an_equal_one_is_hardly_ever_called_half_again_as_slow():
    """Eight pairs with a tenth of noise: none of 300, and one that is twice as slow is found each time."""
    random = np.random.default_rng(7)

    def lower(times):
        return paired_ratio(times * random.lognormal(0, 0.1, 8), random.lognormal(0, 0.1, 8), seed=0).low

    assert sum(lower(1.0) > 1.5 for _ in range(300)) == 0
    assert sum(lower(2.0) > 1.5 for _ in range(300)) == 300
