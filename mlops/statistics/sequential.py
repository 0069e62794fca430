"""Tests that may be looked at as often as one likes: two arms' counts, and how much more often one arm's show.

A fixed test that is looked at twenty times says "worse" of a fifth of all equal arms. The mixture of likelihood ratios
(Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical Statistics 41,
1970) does so in no more than its level, whenever one looks and whenever one stops (Ville's inequality; Johari, Koomen,
Pekelis, Walsh, "Always Valid Inference", Operations Research 70, 2022).

Of each batch the margins are taken as given: how many requests each arm had, and how many counted in both together.
Which arm those fell on is then hypergeometric, with the odds ratio as its only parameter (Fisher 1935; conditional
e-variables for two by two tables: Turner, Ly, Grünwald, "Generic E-variables for exact sequential k-sample tests that
allow for optional stopping", 2021). So no rate has to be known beforehand, the level is exact at any n, and what
strikes both arms alike, such as an hour in which the network is down, is evidence of nothing.
It supposes that requests come to the arms by chance, independent of one another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Logs = NDArray[np.float64]

_MOST = 64.0
"""The largest odds ratio that is thought of; what is larger tells as much as this."""

_STEPS = 48
GRID: Logs = np.linspace(-math.log(_MOST), math.log(_MOST), 2 * _STEPS + 1)
"""The log odds ratios on which likelihoods are kept, evenly spaced: each is 1.09 times the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One batch: of `n` requests of the arm under test `hits` counted; of the other arm's `beside`, `theirs` did."""

    hits: int
    n: int
    theirs: int
    beside: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the batches so far say about the odds ratio of the two arms; grows by `seen`."""

    hits: int = 0
    n: int = 0
    theirs: int = 0
    beside: int = 0
    logs: tuple[float, ...] = field(default=(0.0,) * len(GRID))  # log likelihoods over GRID

    def seen(self, split: Split) -> Evidence:
        """With one batch more."""
        return Evidence(
            hits=self.hits + split.hits,
            n=self.n + split.n,
            theirs=self.theirs + split.theirs,
            beside=self.beside + split.beside,
            logs=tuple((np.asarray(self.logs) + log_likelihoods(split)).tolist()),
        )

    @property
    def share(self) -> float:
        """Of the arm under test, how many of its requests counted; NaN without one."""
        return self.hits / self.n if self.n else math.nan

    @property
    def share_beside(self) -> float:
        """The same of the other arm."""
        return self.theirs / self.beside if self.beside else math.nan

    @property
    def mirrored(self) -> Evidence:
        """The same of the requests that did not count: its odds ratio is one over this one's."""
        return Evidence(
            hits=self.n - self.hits,
            n=self.n,
            theirs=self.beside - self.theirs,
            beside=self.beside,
            logs=self.logs[::-1],
        )

    def p_value(self, odds: float = 1.0) -> float:
        """Always-valid p value of "the odds ratio is at most `odds`": below alpha at any look is a no at that level.

        `odds` is taken up to the next one of GRID; 1, 2, 4 and 8 are on it.
        """
        logs = np.asarray(self.logs)
        null = min(int(np.searchsorted(GRID, math.log(odds) - 1e-9)), len(GRID) - 2)
        above = logs[null + 1 :]
        return math.exp(min(0.0, float(logs[null]) - _log_mean(above, 1.0 / len(above))))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Odds ratios that the batches do not contradict, at every look together; infinite where they set no bound."""
        logs = np.asarray(self.logs)
        kept = np.flatnonzero(_log_mean(logs, 1.0 / len(GRID)) - logs < -math.log(1.0 - level))
        low, high = int(kept[0]), int(kept[-1])
        return (
            0.0 if low == 0 else math.exp(GRID[low - 1]),
            math.inf if high == len(GRID) - 1 else math.exp(GRID[high + 1]),
        )


def log_likelihoods(split: Split) -> Logs:
    """The log likelihood of each odds ratio of GRID, given the batch's margins (noncentral hypergeometric)."""
    total = split.hits + split.theirs
    if not total or not split.n or not split.beside:
        return np.zeros(len(GRID))
    low, norms = _normalisers(split.n, split.beside, total)
    weights = _weights(split.n, split.beside, total)
    found: Logs = weights[split.hits - low] + split.hits * GRID - norms
    return found


@lru_cache(maxsize=4096)
def _normalisers(n: int, beside: int, total: int) -> tuple[int, Logs]:
    low, weights = max(0, total - beside), _weights(n, beside, total)
    terms = weights[:, None] + np.outer(np.arange(low, low + len(weights)), GRID)
    top = terms.max(axis=0)
    return low, top + np.log(np.exp(terms - top).sum(axis=0))


@lru_cache(maxsize=4096)
def _weights(n: int, beside: int, total: int) -> Logs:
    """Logs of C(n, k) C(beside, total - k) for each k that the margins allow."""
    from scipy.special import gammaln

    k = np.arange(max(0, total - beside), min(n, total) + 1, dtype=np.float64)
    rest = total - k
    ours = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    others = gammaln(beside + 1) - gammaln(rest + 1) - gammaln(beside - rest + 1)
    found: Logs = ours + others
    return found


def _log_mean(logs: Logs, weight: float) -> float:
    top = float(logs.max())
    return top + math.log(weight * float(np.exp(logs - top).sum()))
