"""How many times one thing is another, measured in turn: a ratio whose interval comes from blocks of values.

What a machine does besides changes slowly, so neighbouring requests are not independent, and blocks that follow each
other share it. The ratio is therefore taken within each pair of blocks, and pairs are what is drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
_DRAWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A ratio with its interval; `pairs` of blocks that it was taken from."""

    value: float
    low: float
    high: float
    pairs: int


def paired_ratio(ours: Sequence[float], theirs: Sequence[float], *, seed: int, level: float = LEVEL) -> Ratio:
    """The geometric mean of `ours[i] / theirs[i]`, and its percentile interval over pairs drawn with replacement.

    Efron & Tibshirani, An Introduction to the Bootstrap (1993), sections 8.6 and 13.3. On the scale of logarithms, so
    that the ratio of the one to the other is the inverse of that of the other to the one.
    """
    logs = np.log(np.asarray(ours, dtype=float) / np.asarray(theirs, dtype=float))
    draws = np.random.default_rng(seed).integers(0, len(logs), size=(_DRAWS, len(logs)))
    low, high = np.quantile(logs[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Ratio(value=float(np.exp(logs.mean())), low=float(np.exp(low)), high=float(np.exp(high)), pairs=len(logs))
