from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import ndtri
from scipy.stats import binomtest, multinomial

from mlops.statistics.proportions import exact, score


def squared_score(gained: int, lost: int, n: int, theta: float) -> float:
    """The score statistic with the nuisance found by maximising the likelihood itself, not by Tango's formula."""

    def negative(q: float) -> float:
        cells = [q + theta, q, 1 - 2 * q - theta]
        if min(cells) <= 0:
            return 1e9
        return -float(gained * np.log(cells[0]) + lost * np.log(cells[1]) + (n - gained - lost) * np.log(cells[2]))

    q = minimize_scalar(
        negative, bounds=(max(0.0, -theta), (1 - theta) / 2), method="bounded", options={"xatol": 1e-12}
    ).x
    return (gained - lost - n * theta) ** 2 / (n * (2 * q + theta * (1 - theta)))


@pytest.mark.parametrize(("gained", "lost", "n"), [(12, 2, 50), (40, 60, 1_000), (30, 0, 200), (5, 25, 100)])
def test_the_bounds_are_where_the_score_test_turns(gained, lost, n):
    z = ndtri(0.95) ** 2
    for bound in score(gained, lost, n, 0.95):
        assert squared_score(gained, lost, n, bound) == pytest.approx(z, rel=1e-3)


def test_at_no_difference_the_score_test_is_mcnemar_s():
    lower, upper = score(30, 30, 500, 0.95)
    assert lower == pytest.approx(-upper, abs=1e-9)
    gained, lost = 45, 30
    z = (gained - lost) / np.sqrt(gained + lost)
    found = [score(gained, lost, 500, share)[0] for share in (0.5 + 0.499 * k / 200 for k in range(1, 201))]
    crossing = np.argmax(np.array(found) < 0)
    assert ndtri(0.5 + 0.499 * (crossing + 1) / 200) == pytest.approx(z, abs=0.03)


@pytest.mark.parametrize("bounds", [exact, score])
@pytest.mark.parametrize(("n", "loss", "churn"), [(40, 0.05, 0.05), (40, 0.1, 0.0), (60, 0.02, 0.1), (30, 0.2, 0.1)])
def test_a_loss_is_missed_in_five_of_a_hundred_by_the_exact_bounds(bounds, n, loss, churn):
    """Not simulated: every table of n rows, with its probability."""
    cells = [churn / 2, churn / 2 + loss, 1 - churn - loss]
    missed = 0.0
    for gained in range(n + 1):
        for lost in range(n + 1 - gained):
            chance = float(multinomial.pmf([gained, lost, n - gained - lost], n, cells))
            if chance > 1e-9 and bounds(gained, lost, n, 0.95)[0] > -loss:
                missed += chance
    assert missed <= (0.05 if bounds is exact else 0.075)


def test_the_exact_bounds_agree_with_clopper_and_pearson():
    low, high = binomtest(3, 40).proportion_ci(0.95, method="exact")
    nothing = binomtest(0, 40).proportion_ci(0.95, method="exact")
    lower, upper = exact(3, 0, 40, 0.95)
    assert lower == pytest.approx(low - nothing.high)
    assert upper == pytest.approx(high)
