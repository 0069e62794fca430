"""Repeated cross-validation: its folds, and the interval that belongs to a mean over folds.

The folds' scores are not independent, since their training rows overlap: the plain standard error is far too small.
Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52 (2003), correct it by the share of
rows tested to rows trained on; Bouckaert and Frank (PAKDD 2004) use it with repeated folds, as here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops.statistics.paired import LEVEL, Comparison, Estimate, decided, quantile

Positions = NDArray[np.intp]

_FIRST = 0.5  # of the rows in time is trained on before the first test


@dataclass(frozen=True, slots=True)
class Fold:
    """Positions of the rows to fit on and to test on; no row is in both."""

    train: Positions
    test: Positions


@dataclass(frozen=True, slots=True)
class Plan:
    """All folds of all repeats; `rows` are those that are tested at all, `said` is the plan in words."""

    folds: tuple[Fold, ...]
    rows: int
    said: str

    @property
    def ratio(self) -> float:
        """Rows tested per row trained on, the mean over the folds."""
        return float(np.mean([fold.test.size / fold.train.size for fold in self.folds]))


def grouped(
    groups: NDArray[np.uint64], strata: NDArray[np.float64] | None, plan: tuple[int, int], *, seed: int
) -> Plan:
    """Rows of one group on one side, each row tested once per repeat; `plan` is folds and repeats.

    `strata` are class codes: each fold gets its share of every class. None: drawn evenly.
    """
    count, repeats = plan
    _, first, codes = np.unique(groups, return_index=True, return_inverse=True)
    random = np.random.default_rng(seed)
    found = []
    for _ in range(repeats):
        order = random.permutation(first.size)
        if strata is not None:
            order = order[np.argsort(strata[first][order], kind="stable")]
        dealt = np.empty(first.size, dtype=np.intp)
        dealt[order] = np.arange(first.size) % count
        side = dealt[codes]
        found += [Fold(np.flatnonzero(side != k), np.flatnonzero(side == k)) for k in range(count)]
    return Plan(_whole(found), groups.size, f"{repeats} times {count}-fold cross-validation")


def ordered(moments: NDArray[np.int64], gap: int, plan: tuple[int, int]) -> Plan:
    """Windows of the newer half, each tested by what was known before it began; repeats move the windows' bounds.

    A training row is older than the window, and by `gap` (the label's delay) at least. Rows of one moment
    stay together.
    """
    count, repeats = plan
    times = np.append(np.sort(moments), moments.max(initial=0) + 1)
    width = (1 - _FIRST) / (count + (repeats - 1) / repeats)
    found = []
    for repeat in range(repeats):
        start = _FIRST + width * repeat / repeats
        shares = np.minimum(start + width * np.arange(count + 1), 1.0)
        cuts = times[np.round(shares * moments.size).astype(np.intp)]
        for low, high in itertools.pairwise(cuts):
            train = np.flatnonzero((moments < low) & (moments <= low - gap))
            found.append(Fold(train, np.flatnonzero((moments >= low) & (moments < high))))
    folds = _whole(found)
    rows = np.unique(np.concatenate([fold.test for fold in folds])).size if folds else 0
    return Plan(folds, int(rows), f"{repeats} times {count} windows in time, each fitted on what came before")


def _whole(folds: Sequence[Fold]) -> tuple[Fold, ...]:
    return tuple(fold for fold in folds if fold.train.size and fold.test.size)


def standard_error(values: NDArray[np.float64], ratio: float) -> float:
    """Of the mean of the folds' values, corrected after Nadeau and Bengio; NaN with fewer than two."""
    if values.size < 2:
        return float("nan")
    return float(np.sqrt((1 / values.size + ratio) * values.var(ddof=1)))


def estimate(values: NDArray[np.float64], plan: Plan) -> Estimate:
    """The mean over the folds with its two-sided 95 % interval."""
    mean = float(values.mean()) if values.size else float("nan")
    width = quantile(1 - (1 - LEVEL) / 2, values.size) * standard_error(values, plan.ratio)
    rows = f"rows, {plan.said}"
    return Estimate(value=mean, lower=mean - width, upper=mean + width, n=plan.rows, rows=rows, resampled=True)


def compare(ours: NDArray[np.float64], theirs: NDArray[np.float64], plan: Plan, margin: float) -> Comparison:
    """The comparison by the folds' differences; both sides fitted and tested on the same folds."""
    differences = ours - theirs
    mean = float(differences.mean()) if differences.size else float("nan")
    width = quantile(LEVEL, differences.size) * standard_error(differences, plan.ratio)
    method = f"{plan.said}, variance corrected after Nadeau and Bengio"
    return decided(mean, (mean - width, mean + width), margin=margin, n=plan.rows, method=method)
