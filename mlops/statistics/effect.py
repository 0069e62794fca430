"""How much two arms of an experiment differ in a mean, looked at as often as one likes; and the sample that it takes.

Requests of one unit (a customer) are not independent, so the variance of a mean is taken over units, not over requests
(the linearised variance of a ratio; Deng, Knoblich, Lu, "Applying the Delta Method in Metric Analytics", KDD 2018).

The difference is held against a normal mixture of differences (Robbins 1970): with I its information, one over its
variance, the interval is wider than a fixed one by a factor that grows with log I, and holds at all looks together
(Johari, Koomen, Pekelis, Walsh, "Always Valid Inference", Operations Research 70, 2022; that the variance may be
estimated: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences", Annals of Statistics 52, 2024). It is asymptotic: with fewer than `LEAST` units an arm says nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST = 50
"""Units of an arm below which its mean is not taken for normal."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """The mean of `n` values of `units` units, its variance over units, and the variance of one value."""

    mean: float
    variance: float
    spread: float
    n: int
    units: int

    @property
    def inflation(self) -> float:
        """How many times as many values are needed as if each were of a unit of its own."""
        alone = self.spread / self.n if self.n else 0.0
        return max(1.0, self.variance / alone) if alone > 0 else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The arm under test minus the other, and an interval that holds at every look together."""

    value: float
    low: float
    high: float
    p_value: float


def arm(values: Numbers, units: NDArray[np.int64]) -> Arm:
    """The mean of values, shape (n,), whose units are numbered from 0 on, shape (n,)."""
    n = len(values)
    if not n:
        return Arm(mean=math.nan, variance=math.inf, spread=math.nan, n=0, units=0)
    mean = float(values.mean())
    sums = np.bincount(units, weights=values - mean)
    present = np.bincount(units) > 0
    count = int(present.sum())
    variance = float((sums[present] ** 2).sum()) / n**2 * count / (count - 1) if count > 1 else math.inf
    return Arm(mean=mean, variance=variance, spread=float(values.var()), n=n, units=count)


def difference(ours: Arm, theirs: Arm, *, effect: float, level: float) -> Difference | None:
    """The difference of two means; None where there are too few units, or nothing varies.

    `effect` is the difference that one wants to see: the interval is narrowest when that much can be told. An interval
    without 0 at any look is a difference, wrongly in at most `level` of all experiments without one.
    """
    if min(ours.units, theirs.units) < LEAST:
        return None
    variance = ours.variance + theirs.variance
    if not 0.0 < variance < math.inf:
        return None
    value = ours.mean - theirs.mean
    half = _width(1.0 / variance, effect, level) * math.sqrt(variance)
    mixed = effect**2 / variance
    log_ratio = value**2 / variance * mixed / (2.0 * (1.0 + mixed)) - math.log1p(mixed) / 2.0
    return Difference(value=value, low=value - half, high=value + half, p_value=math.exp(min(0.0, -log_ratio)))


def needed(*, effect: float, spread: float, share: float, level: float, power: float) -> tuple[int, int]:
    """Values that the arm under test and the other need, so that a true `effect` is told in `power` of experiments.

    `spread` is the variance of one value, times the arm's inflation; `share` is that of the arm under test. The test
    is looked at once for this; it is looked at more often, so that it rather needs fewer.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    def short(log_information: float) -> float:
        information = math.exp(log_information)
        return math.sqrt(information) * effect - _width(information, effect, level) - float(ndtri(power))

    least = math.log(1.0 / effect**2)
    information = math.exp(brentq(short, least, least + 40.0))
    total = information * spread / (share * (1.0 - share))
    return math.ceil(total * share), math.ceil(total * (1.0 - share))


def split_log_evidence(ours: int, total: int, share: float) -> float:
    """The log of the evidence that units do not come to the arm under test by `share`; above ln(1/a) it is a no at a.

    A mixture over all shares (Beta(1, 1)), so valid at every look (Lindon, Malek, "Anytime-Valid Inference for
    Multinomial Count Data", NeurIPS 2022).
    """
    from scipy.special import betaln

    null = ours * math.log(share) + (total - ours) * math.log1p(-share)
    return float(betaln(ours + 1, total - ours + 1)) - null


def _width(information: float, effect: float, level: float) -> float:
    """Half the interval, in standard errors."""
    mixed = effect**2 * information
    return math.sqrt((1.0 + mixed) / mixed * (math.log1p(mixed) + 2.0 * math.log(1.0 / level)))
