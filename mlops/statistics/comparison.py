"""Challenger against champion on the same rows, by the method that fits the metric and the number of rows.

- accuracy: McNemar's table with Tango's score interval; exact bounds where few rows differ;
- few rows (of the rarest class, where the metric looks at classes): a studentised paired permutation. The influence
  of a single row is large then, and metrics that rank or count (F1, recall, precision) move in steps;
- else: influence functions, which for the binary ROC area are DeLong's.
"""

from __future__ import annotations

import numpy as np

from mlops.statistics import permutation, proportions
from mlops.statistics.influence import Answers, measure
from mlops.statistics.paired import LEVEL, Comparison, by_influence, decided

FEW_ROWS = 50
"""Below this many rows, of the rarest class where the metric looks at classes, influences are not trusted."""

_OF_ALL_ROWS = frozenset({"neg_log_loss", "r2", "neg_mean_absolute_error", "neg_root_mean_squared_error"})
_MANY = 2_000  # rows beyond which fewer draws are enough, and more would take seconds


def compare(
    metric: str, challenger: Answers, champion: Answers, margin: float, *, permutations: int | None = None
) -> Comparison:
    """Whether the challenger is worse than the champion by less than `margin`; `method` says how it was found.

    `permutations` is the number of draws where a permutation judges, 0 for never.
    """
    n = challenger.actual.size
    if metric == "accuracy":
        return _of_accuracies(challenger, champion, margin)
    draws = (999 if n <= _MANY else 199) if permutations is None else permutations
    if draws and 1 < _deciding_rows(metric, challenger) < FEW_ROWS:
        difference, *found = permutation.bounds(metric, challenger, champion, LEVEL, draws=draws)
        method = f"paired permutation, {draws} draws"
        return decided(difference, (found[0], found[1]), margin=margin, n=n, method=method)
    binary = challenger.probabilities is not None and challenger.probabilities.shape[1] == 2
    method = "DeLong" if metric == "roc_auc" and binary else "influence functions"
    return by_influence(measure(metric, challenger), measure(metric, champion), margin, method)


def _of_accuracies(challenger: Answers, champion: Answers, margin: float) -> Comparison:
    if _same(challenger, champion):
        return decided(0.0, (0.0, 0.0), margin=margin, n=challenger.actual.size, method="the same answer on every row")
    ours, theirs = (answers.predicted == answers.actual for answers in (challenger, champion))
    gained, lost, n = int((ours & ~theirs).sum()), int((theirs & ~ours).sum()), ours.size
    few = gained + lost < proportions.FEW_DISCORDANT
    method = f"McNemar, {'exact' if few else 'interval by Tango'}, {gained + lost:,} rows differ"
    if not n:
        return decided(float("nan"), (float("nan"), float("nan")), margin=margin, n=n, method=method)
    return decided((gained - lost) / n, proportions.bounds(gained, lost, n, LEVEL), margin=margin, n=n, method=method)


def _same(one: Answers, other: Answers) -> bool:
    """Whether both give the same probabilities, to the last digit: then it is one model, however few the rows."""
    if one.probabilities is None or other.probabilities is None or not one.actual.size:
        return False
    return np.array_equal(one.probabilities, other.probabilities) and np.array_equal(one.predicted, other.predicted)


def _deciding_rows(metric: str, answers: Answers) -> int:
    if metric in _OF_ALL_ROWS:
        return int(answers.actual.size)
    return int(np.unique(answers.actual, return_counts=True)[1].min(initial=answers.actual.size))
