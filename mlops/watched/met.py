"""Rows that a live release has met, in windows of time; only the rows of the windows are answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mlops.config import Monitor
from mlops.declare import duration
from mlops.serving.predictors import Prediction
from mlops.statistics.windows import windows
from mlops.verdict import Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_ROWS = 20_000
"""Rows of a window that are answered; of more, a seeded sample."""

Positions = Sequence["NDArray[np.intp]"]


class NothingMet(Exception):
    """There is no row to judge by; the message says why, `next_step` what would change that."""

    def __init__(self, reason: str, next_step: str) -> None:
        super().__init__(reason)
        self.reason, self.next_step = reason, next_step


@dataclass(frozen=True)
class Met:
    """Rows oldest first. `times` are microseconds since 1970 where `dated`, else ranks; None where nothing orders.

    `labels` are missing where they have not arrived. `answer` gives what the model was given and what it says of the
    rows at some positions. `origin` says in words which rows these are.
    """

    origin: str
    labels: pd.Series
    times: NDArray[np.int64] | None
    dated: bool
    answer: Callable[[NDArray[np.intp]], tuple[pd.DataFrame, Prediction]]
    findings: tuple[Finding, ...] = ()  # of how the labels were found

    def windows(self, settings: Monitor, *, labelled: bool, seed: int) -> Positions:
        """The positions of each window's rows, oldest window first; of rows with a label alone where `labelled`."""
        chosen = np.flatnonzero(self.labels.notna().to_numpy()) if labelled else np.arange(len(self.labels))
        times = None if self.times is None else self.times[chosen]
        span = int(duration(settings.window).total_seconds() * 1e6) if self.dated else 0
        found = windows(times, chosen.size, span=span, least=settings.rows, most=settings.windows)
        random = np.random.default_rng(seed)
        return [_thinned(chosen[one], random) for one in found]

    def when(self, positions: NDArray[np.intp]) -> tuple[str, str]:
        """The times of the first and last row, in words; row numbers where there are no times."""
        if not positions.size:
            return "", ""
        ends = positions[[0, -1]]
        if self.times is None or not self.dated:
            return f"row {ends[0] + 1:,}", f"row {ends[1] + 1:,}"
        first, last = (pd.Timestamp(int(self.times[end]), unit="us") for end in ends)
        return f"{first:%Y-%m-%d %H:%M}", f"{last:%Y-%m-%d %H:%M}"

    def instant(self, positions: NDArray[np.intp]) -> float | None:
        """When the newest of these rows was, in seconds since 1970; None where there are no times."""
        return None if self.times is None or not self.dated else float(self.times[positions[-1]]) / 1e6

    def newest_label(self) -> int | None:
        """The time of the newest labelled row in microseconds since 1970; None where there is none, or no time."""
        known = np.flatnonzero(self.labels.notna().to_numpy())
        return int(self.times[known[-1]]) if known.size and self.times is not None and self.dated else None

    def covered(self, positions: NDArray[np.intp]) -> float:
        """The share of these rows that are no newer than the newest labelled row."""
        known = np.flatnonzero(self.labels.notna().to_numpy())
        return float((positions <= known[-1]).mean()) if known.size and positions.size else 0.0


@dataclass(frozen=True)
class Answered:
    """The rows of some windows with what the model was given and said; each row is answered once."""

    met: Met
    chosen: Positions

    @cached_property
    def _every(self) -> NDArray[np.intp]:
        return np.unique(np.concatenate([np.asarray(one) for one in self.chosen]))

    @cached_property
    def _answers(self) -> tuple[pd.DataFrame, Prediction]:
        return self.met.answer(self._every)

    def inputs(self, positions: NDArray[np.intp]) -> pd.DataFrame:
        """What the model was given for the rows of a window."""
        return self._answers[0].iloc[np.searchsorted(self._every, positions)]

    def said(self, positions: NDArray[np.intp]) -> Prediction:
        """What the model says of the rows of a window."""
        return self._answers[1].take(np.searchsorted(self._every, positions))


def _thinned(positions: NDArray[np.intp], random: np.random.Generator) -> NDArray[np.intp]:
    if positions.size <= MOST_ROWS:
        return positions
    return np.sort(random.choice(positions, MOST_ROWS, replace=False))
