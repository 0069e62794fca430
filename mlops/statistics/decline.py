"""Whether a model is worse on new rows than it was when it was judged: surely, surely not, or too few rows.

Both are estimates, of other rows. Rows of one time resemble each other, which makes the
plain standard error too small; that of the means of consecutive blocks does not assume that rows are independent
(batch means: Glynn and Whitt, "Estimating the asymptotic variance with batch means", Operations Research Letters 10,
1991). The larger of the two is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mlops.statistics.influence import Measured
from mlops.statistics.paired import quantile, standard_error

LEVEL = 0.99
"""One-sided. A model in service is looked at often: at 0.95 one look in twenty would see a decline that is none."""

LEAST_ROWS = 50
"""Fewer labelled rows, of the rarest class where there are classes, decide nothing."""

_BLOCKS = 20
_BLOCK_ROWS = 10  # in each, at least

Decision = Literal["declined", "held", "insufficient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A metric of `n` rows with its standard error."""

    value: float
    error: float
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """Two-sided, 95 %."""
        width = 1.96 * self.error
        return self.value - width, self.value + width


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline:
    """New minus old, its one-sided 99 % bounds, and what follows; `rows_needed` new rows would decide.

    `upper` bears the errors of both and says whether it declined, `lower` that of the new rows and whether it held.
    """

    now: Level
    then: Level
    difference: float
    lower: float
    upper: float
    decision: Decision
    rows_needed: int


def level(measured: Measured) -> Level:
    """A metric measured on rows in their order of time, with an error that bears their resemblance."""
    error = max(standard_error(measured.influence), _of_blocks(measured.influence))
    return Level(value=measured.value, error=error, n=measured.influence.size)


def assumed(value: float, n: int, like: Level) -> Level:
    """A metric that was measured on `n` rows which are no longer at hand, with the error that they would have had."""
    return Level(value=value, error=like.error * math.sqrt(like.n / max(n, 1)), n=n)


def decline(now: Level, then: Level, *, margin: float, tolerated: float) -> Decline:
    """Declined where the metric is surely worse by more than `margin`; held where it is surely not by `tolerated`.

    Both in the metric's unit, `margin` <= `tolerated`. What it was when it was judged is an estimate where it accuses,
    so its error counts against a decline; where it is the bar to keep it is a number, such as a floor. In between
    these rows cannot tell.
    """
    difference = now.value - then.value
    width = quantile(LEVEL, min(now.n, then.n)) * math.hypot(now.error, then.error)
    own = quantile(LEVEL, now.n) * now.error
    decision: Decision = "insufficient"
    if difference + width < -margin:
        decision = "declined"
    elif difference - own > -tolerated:
        decision = "held"
    return Decline(
        now=now,
        then=then,
        difference=difference,
        lower=difference - own,
        upper=difference + width,
        decision=decision,
        rows_needed=_needed(now, tolerated + difference),
    )


def _needed(now: Level, room: float) -> int:
    """How many new rows would show that the metric has held, as far as it lies above the bar; 0 where it does not."""
    if not math.isfinite(room) or not math.isfinite(now.error) or room <= 0:
        return 0
    return math.ceil(now.n * (quantile(LEVEL, now.n) * now.error / room) ** 2)


def _of_blocks(influence: np.ndarray) -> float:
    """The standard error of a mean by the sums of consecutive blocks; 0 where there are too few rows for blocks."""
    n = influence.size
    if n < _BLOCKS * _BLOCK_ROWS:
        return 0.0
    sums = np.add.reduceat(influence, np.linspace(0, n, _BLOCKS, endpoint=False).astype(int))
    return float(np.sqrt(_BLOCKS / (_BLOCKS - 1) * np.square(sums).sum()) / n)
