"""Intervals, and whether a challenger is no worse than a champion on the same rows: yes, no, or too few rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mlops.statistics.influence import Measured

LEVEL = 0.95
"""Of a two-sided interval, and of the one-sided test of non-inferiority."""

Decision = Literal["not worse", "worse", "insufficient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Challenger minus champion, its interval (90 %, each side tested at 5 %), and what follows for the margin.

    `smallest_margin` is what these rows can decide: an equal challenger passes in 95 %. `rows_needed` is how many
    rows the given margin takes. `method` says, in words, how the interval was found.
    """

    difference: float
    lower: float
    upper: float
    decision: Decision
    smallest_margin: float
    rows_needed: int
    method: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A metric with its two-sided 95 % interval, of `n` rows; `rows` says in words which they are."""

    value: float
    lower: float
    upper: float
    n: int
    rows: str
    resampled: bool = False


def held_out(measured: Measured) -> Estimate:
    """The metric on held-out rows, with its interval."""
    lower, upper = interval(measured)
    return Estimate(value=measured.value, lower=lower, upper=upper, n=measured.influence.size, rows="held-out rows")


def interval(measured: Measured, level: float = LEVEL) -> tuple[float, float]:
    """A two-sided interval of the metric by Student's t; NaN where the metric is not defined."""
    width = quantile(1 - (1 - level) / 2, measured.influence.size) * standard_error(measured.influence)
    return measured.value - width, measured.value + width


def by_influence(challenger: Measured, champion: Measured, margin: float, method: str = "") -> Comparison:
    """The comparison by the difference of the influences and Student's t; both measured on the same rows."""
    n = challenger.influence.size
    difference = challenger.value - champion.value
    width = quantile(LEVEL, n) * standard_error(challenger.influence - champion.influence)
    return decided(difference, (difference - width, difference + width), margin=margin, n=n, method=method)


def decided(difference: float, bounds: tuple[float, float], *, margin: float, n: int, method: str) -> Comparison:
    """Whether the challenger is worse than the champion by less than `margin`, given one-sided 95 % bounds of n rows.

    Not worse: the lower bound is above -margin, so a model that is worse by the margin passes in 5 %. Where the
    interval reaches further down than the margin is wide, an equal model could pass by luck alone: then only
    one passes that is shown to be better. Worse: the upper bound is below -margin. Else the rows cannot decide.

    The width of the interval is the margin at which an equal challenger passes in 95 %: the bound must lie a
    standard error times 1.64 below a difference that itself strays by as much.
    """
    lower, upper = bounds
    decision: Decision = "insufficient"
    if math.isfinite(difference) and math.isfinite(lower) and math.isfinite(upper):
        if lower > -margin and (lower > 0 or difference - lower <= margin):
            decision = "not worse"
        elif upper < -margin:
            decision = "worse"
    smallest = upper - lower
    needed = n * (smallest / margin) ** 2 if margin else math.inf
    return Comparison(
        difference=difference,
        lower=lower,
        upper=upper,
        decision=decision,
        smallest_margin=smallest,
        rows_needed=math.ceil(needed) if math.isfinite(needed) else 0,
        method=method,
    )


def standard_error(influence: np.ndarray) -> float:
    """The standard error that belongs to the influences; NaN with fewer than two rows."""
    n = influence.size
    return float(np.sqrt(np.square(influence).sum() / (n * (n - 1)))) if n > 1 else float("nan")


def quantile(level: float, n: int) -> float:
    """Student's quantile for n observations."""
    from scipy.special import stdtrit

    return float(stdtrit(max(n - 1, 1), level))
