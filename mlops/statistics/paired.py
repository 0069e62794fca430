"""Intervals, and whether a challenger is no worse than a champion on the same rows: yes, no, or too few rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mlops.statistics.influence import Measured

LEVEL = 0.95
"""Of a two-sided interval, and of the one-sided test of non-inferiority."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Challenger minus champion, its interval (90 %, each side tested at 5 %), and what follows for the margin.

    `smallest_margin` is what these rows can decide: an equal challenger passes in 95 %. `rows_needed` is how many
    rows the given margin takes.
    """

    difference: float
    lower: float
    upper: float
    decision: Literal["not worse", "worse", "insufficient"]
    smallest_margin: float
    rows_needed: int


def interval(measured: Measured, level: float = LEVEL) -> tuple[float, float]:
    """A two-sided interval of the metric by Student's t; NaN where the metric is not defined."""
    width = _quantile(1 - (1 - level) / 2, measured.influence.size) * _error(measured.influence)
    return measured.value - width, measured.value + width


def compare(challenger: Measured, champion: Measured, margin: float) -> Comparison:
    """Whether the challenger is worse than the champion by less than `margin`, both measured on the same rows.

    Not worse: the one-sided 95 % bound of the difference is above -margin, so a model that is worse by the
    margin passes in 5 %. Worse: the difference is below -margin with the same certainty. Else the rows
    cannot decide.
    """
    n = challenger.influence.size
    difference = challenger.value - champion.value
    error = _error(challenger.influence - champion.influence)
    quantile = _quantile(LEVEL, n)
    lower, upper = difference - quantile * error, difference + quantile * error
    if not math.isfinite(error) or not math.isfinite(difference):
        decision: Literal["not worse", "worse", "insufficient"] = "insufficient"
    elif lower > -margin:
        decision = "not worse"
    else:
        decision = "worse" if upper < -margin else "insufficient"
    smallest = 2 * quantile * error
    needed = n * (smallest / margin) ** 2
    return Comparison(
        difference=difference,
        lower=lower,
        upper=upper,
        decision=decision,
        smallest_margin=smallest,
        rows_needed=math.ceil(needed) if math.isfinite(needed) else 0,
    )


def _error(influence: np.ndarray) -> float:
    """The standard error that belongs to the influences; NaN with fewer than two rows."""
    n = influence.size
    return float(np.sqrt(np.square(influence).sum() / (n * (n - 1)))) if n > 1 else float("nan")


def _quantile(level: float, n: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(max(n - 1, 1), level))
