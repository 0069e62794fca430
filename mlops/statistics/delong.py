"""The area under the ROC curve with the share that each row has in its error.

DeLong, DeLong, Clarke-Pearson, "Comparing the Areas under Two or More Correlated Receiver Operating Characteristic
Curves", Biometrics 44 (1988); by midranks in O(n log n) as in Sun and Xu, IEEE Signal Processing Letters 21 (2014).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def midranks(values: Floats) -> Floats:
    """Ranks from 1, ties share their mean; shape (n,)."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[starts[1:], ordered.size]
    ranks = np.empty(values.size)
    ranks[order] = np.repeat((starts + ends + 1) / 2.0, ends - starts)
    return ranks


def auc_influence(positive: NDArray[np.bool_], scores: Floats) -> tuple[float, Floats]:
    """The area, and each row's influence on it, shape (n,): their squares' sum over n² is DeLong's variance.

    NaN without a row of each class.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return float("nan"), np.full(positive.size, np.nan)
    ranks = midranks(scores)
    among_positives, among_negatives = midranks(scores[positive]), midranks(scores[~positive])
    placed = np.empty(positive.size)
    placed[positive] = (ranks[positive] - among_positives) / negatives
    placed[~positive] = 1.0 - (ranks[~positive] - among_negatives) / positives
    area = float(placed[positive].mean())
    n = positive.size
    share = np.where(positive, n / positives, n / negatives)
    # n-1 instead of n in each class's variance, as DeLong has it
    small = np.where(positive, positives / max(positives - 1, 1), negatives / max(negatives - 1, 1))
    return area, (placed - area) * share * np.sqrt(small)
