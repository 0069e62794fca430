"""A metric, and how much each row moves it: one way to an interval and a paired comparison for every metric.

The influence of row i is the derivative of the metric by the row's weight (Hampel 1974; the infinitesimal
jackknife, Jaeckel 1972), times n. Influences have mean 0, and their mean square over n is the metric's variance.
On two models and the same rows, the difference of influences belongs to the difference of the metrics. For
the ROC area this is DeLong's method, for accuracy McNemar's setting. Exact derivatives, no resampling: the
same rows give the same answer, in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops.statistics.delong import Floats, auc_influence

_STEP = 1e-6
_TINY = 1e-15


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model said of n rows. Classes are codes 0…k-1 in `actual` and `predicted`.

    `probabilities` has shape (n, k); None for a regression or a model that gives none.
    """

    actual: NDArray[np.float64]
    predicted: NDArray[np.float64]
    probabilities: Floats | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric's value (greater is better) and the influence of each row, shape (n,)."""

    value: float
    influence: Floats


def measure(metric: str, answers: Answers) -> Measured:
    """The metric with its influences; value NaN where the rows do not define it (one class only).

    Metrics are scikit-learn's and named as there; see `mlops.declare.METRICS`.
    """
    return _METRICS[metric](answers)


def needs_probabilities(metric: str) -> bool:
    """Whether the metric is computed from probabilities."""
    return metric in ("roc_auc", "average_precision", "neg_log_loss")


def _roc_auc(answers: Answers) -> Measured:
    probabilities = _probabilities(answers)
    if probabilities.shape[1] == 2:
        return Measured(*auc_influence(answers.actual == 1, probabilities[:, 1]))
    # One class against the rest, every class alike: scikit-learn's multi_class="ovr", average="macro".
    present = np.unique(answers.actual).astype(int)
    each = [auc_influence(answers.actual == k, probabilities[:, k]) for k in present]
    return Measured(float(np.mean([value for value, _ in each])), np.mean([row for _, row in each], axis=0))


def _average_precision(answers: Answers) -> Measured:
    """AP(w) = sum of w·A/B over positives, over their weight; A, B: weight of positives and rows at or above."""
    positive, scores = answers.actual == 1, _probabilities(answers)[:, 1]
    count = int(positive.sum())
    n = positive.size
    if not count:
        return Measured(float("nan"), np.full(n, np.nan))
    order = np.argsort(-scores, kind="stable")
    hits, ordered = positive[order].astype(float), scores[order]
    ends = np.r_[np.flatnonzero(ordered[1:] != ordered[:-1]), n - 1]
    group = np.repeat(np.arange(ends.size), np.diff(np.r_[-1, ends]))
    above, rows = np.cumsum(hits)[ends], ends + 1.0
    precision = above / rows
    in_group = np.bincount(group, weights=hits)
    value = float((in_group * precision).sum() / count)
    # What a row adds to A and B of every positive at or below it.
    lower_a = np.cumsum((in_group / rows)[::-1])[::-1]
    lower_b = np.cumsum((in_group * above / rows**2)[::-1])[::-1]
    influence = np.empty(n)
    influence[order] = (hits * (precision[group] - value) + hits * lower_a[group] - lower_b[group]) * n / count
    return Measured(value, influence)


def _mean(rows: Floats) -> Measured:
    value = float(rows.mean())
    return Measured(value, rows - value)


def _of_means(rows: Floats, metric: Callable[[Floats], float]) -> Measured:
    """A smooth function of the means of `rows` (n by k): the delta method, derivatives by central differences."""
    means = rows.mean(axis=0)
    value = metric(means)
    steps = _STEP * np.maximum(np.abs(means), 1e-3)
    slopes = np.array(
        [(metric(means + step) - metric(means - step)) / (2 * step[k]) for k, step in enumerate(np.diag(steps))]
    )
    return Measured(float(value), (rows - means) @ slopes)


def _accuracy(answers: Answers) -> Measured:
    return _mean((answers.actual == answers.predicted).astype(float))


def _f1(answers: Answers) -> Measured:
    return _of_means(_hits(answers, 1), lambda m: float(2 * m[0] / max(m[1] + m[2], _TINY)))


def _f1_macro(answers: Answers) -> Measured:
    each = [_f1_of(answers, k) for k in np.union1d(answers.actual, answers.predicted)]
    return Measured(float(np.mean([e.value for e in each])), np.mean([e.influence for e in each], axis=0))


def _f1_of(answers: Answers, k: float) -> Measured:
    return _of_means(_hits(answers, k), lambda m: float(2 * m[0] / max(m[1] + m[2], _TINY)))


def _hits(answers: Answers, k: float) -> Floats:
    """Columns: hit, actual and predicted of class k."""
    actual, predicted = answers.actual == k, answers.predicted == k
    return np.column_stack([actual & predicted, actual, predicted]).astype(float)


def _balanced_accuracy(answers: Answers) -> Measured:
    each = [
        _of_means(_hits(answers, k)[:, :2], lambda m: float(m[0] / max(m[1], _TINY))) for k in np.unique(answers.actual)
    ]
    return Measured(float(np.mean([e.value for e in each])), np.mean([e.influence for e in each], axis=0))


def _neg_log_loss(answers: Answers) -> Measured:
    probabilities = _probabilities(answers)
    own = probabilities[np.arange(answers.actual.size), answers.actual.astype(int)]
    return _mean(np.log(np.clip(own, np.finfo(np.float64).eps, 1.0)))


def _r2(answers: Answers) -> Measured:
    squares = (answers.actual - answers.predicted) ** 2
    spreads = (answers.actual - answers.actual.mean()) ** 2  # the mean's own error is of second order
    error, spread = float(squares.mean()), float(spreads.mean())
    if not spread:
        return Measured(float("nan"), np.full(squares.size, np.nan))
    influence = -(squares - error) / spread + error / spread**2 * (spreads - spread)
    return Measured(1 - error / spread, influence)


def _neg_mean_absolute_error(answers: Answers) -> Measured:
    return _mean(-np.abs(answers.actual - answers.predicted))


def _neg_root_mean_squared_error(answers: Answers) -> Measured:
    squares = (answers.actual - answers.predicted) ** 2
    root = float(np.sqrt(squares.mean()))
    return Measured(-root, -(squares - squares.mean()) / (2 * root) if root else np.zeros(squares.size))


def _probabilities(answers: Answers) -> Floats:
    if answers.probabilities is None:
        raise ValueError("this metric needs probabilities, and the model gives none (no predict_proba)")
    return answers.probabilities


_METRICS: dict[str, Callable[[Answers], Measured]] = {
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "f1": _f1,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1_macro": _f1_macro,
    "neg_log_loss": _neg_log_loss,
    "r2": _r2,
    "neg_mean_absolute_error": _neg_mean_absolute_error,
    "neg_root_mean_squared_error": _neg_root_mean_squared_error,
}
