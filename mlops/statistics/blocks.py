"""How many times one thing is another, measured in turn: a ratio whose interval comes from blocks of values.

What a machine does besides changes slowly, so neighbouring requests are not independent, and blocks that follow each
other share it. The ratio is therefore taken within each pair of blocks, and pairs are what is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A ratio with its interval; `pairs` of blocks that it was taken from."""

    value: float
    low: float
    high: float
    pairs: int


def paired_ratio(ours: Sequence[float], theirs: Sequence[float], *, level: float = LEVEL) -> Ratio:
    """The geometric mean of `ours[i] / theirs[i]`, and its interval by Student's t over the pairs.

    On the scale of logarithms, so that the ratio of the one to the other is the inverse of that of the other to the
    one. Student's t and not a bootstrap: of eight pairs, a percentile interval of 95 % covers in 89 % of cases. One
    pair says nothing of its own spread: its interval is everything.
    """
    logs = np.log(np.asarray(ours, dtype=float) / np.asarray(theirs, dtype=float))
    if len(logs) < 2:
        return Ratio(value=float(np.exp(logs.mean())), low=0.0, high=float("inf"), pairs=len(logs))
    half = stats.t.ppf((1 + level) / 2, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    low, mid, high = (float(np.exp(logs.mean() + more)) for more in (-half, 0.0, half))
    return Ratio(value=mid, low=low, high=high, pairs=len(logs))
