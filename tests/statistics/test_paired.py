from __future__ import annotations

import numpy as np
import pytest

from mlops.statistics.influence import Measured, measure
from mlops.statistics.paired import by_influence, decided, held_out, interval
from tests.statistics.simulated import areas

MARGIN = 0.01


def measured(n: int, seed: int = 2) -> tuple[Measured, Measured]:
    ours, theirs = areas(np.random.default_rng(seed), n, 0.0)
    return measure("roc_auc", ours), measure("roc_auc", theirs)


def test_an_insufficient_comparison_names_a_margin_that_it_can_decide():
    ours, champion = measured(500)
    found = by_influence(ours, champion, MARGIN)
    assert found.smallest_margin > MARGIN
    assert by_influence(ours, champion, found.smallest_margin).decision == "not worse"
    assert found.rows_needed > 500


@pytest.mark.parametrize(
    ("difference", "reach", "decision"),
    [
        (0.0, 0.009, "not worse"),
        (0.005, 0.014, "insufficient"),  # above -0.01 by luck: the interval reaches further than the margin
        (0.015, 0.014, "not worse"),  # shown to be better, whatever the margin
        (-0.005, 0.008, "insufficient"),
        (-0.02, 0.009, "worse"),
        (-0.02, 0.011, "insufficient"),
    ],
)
def test_the_interval_decides_and_not_the_difference(difference, reach, decision):
    bounds = difference - reach, difference + reach
    assert decided(difference, bounds, margin=MARGIN, n=100, method="").decision == decision


def test_the_same_model_is_never_worse_than_itself():
    champion, _ = measured(50)
    assert by_influence(champion, champion, MARGIN).decision == "not worse"


def test_a_metric_that_is_not_defined_decides_nothing():
    nothing = Measured(float("nan"), np.full(10, np.nan))
    assert by_influence(nothing, nothing, MARGIN).decision == "insufficient"
    assert np.isnan(interval(nothing)[0])


def test_an_estimate_says_which_rows_it_is_of():
    found = held_out(measured(500)[0])
    assert found.lower < found.value < found.upper
    assert (found.n, found.rows) == (500, "held-out rows")
