"""The metrics that a model can be judged by, from its predictions alone; greater is better.

The names are scikit-learn's, and so are the values; the model is never asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Label = str | int | float | bool

NEED_PROBABILITIES = frozenset({"roc_auc", "average_precision", "neg_log_loss"})
"""The metrics that cannot be computed of labels alone."""


def score(metric: str, y: Any, predicted: Any, probabilities: Array | None, classes: Sequence[Label]) -> float:
    """The metric (see `mlops.declare.METRICS`) of n predictions against the labels `y`.

    `predicted` are labels or numbers, shape (n,); `probabilities` has shape (n, classes) in the order of
    `classes`, which is empty for a regression. NaN where the rows do not decide it, as a single class does
    for `roc_auc`. ValueError for an unknown metric, a label outside `classes`, or missing probabilities.
    """
    if metric in _REGRESSION:
        return float(_REGRESSION[metric](np.asarray(y, dtype=float), np.asarray(predicted, dtype=float)))
    if metric not in _CLASSIFICATION:
        raise ValueError(f"unknown metric {metric!r}")
    truth = codes(y, classes)
    if metric in NEED_PROBABILITIES:
        if probabilities is None:
            raise ValueError(f"{metric} needs probabilities, and the model gives none")
        return float(_CLASSIFICATION[metric](truth, np.asarray(probabilities, dtype=float), len(classes)))
    return float(_CLASSIFICATION[metric](truth, codes(predicted, classes), len(classes)))


def codes(labels: Any, classes: Sequence[Label]) -> npt.NDArray[np.int64]:
    """The position of each label among `classes`, shape (n,); ValueError names a label that is not one of them."""
    place = {name: position for position, name in enumerate(classes)}
    values = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    try:
        return np.array([place[value] for value in values], dtype=np.int64)
    except KeyError as error:
        raise ValueError(f"the label {error.args[0]!r} is not one of {', '.join(map(str, classes))}") from None


def _roc_auc(truth: Array, chances: Array, count: int) -> float:
    """Binary: of the second class. Multiclass: mean over classes, each against the rest, with equal weight."""
    from sklearn.metrics import roc_auc_score

    asked = [1] if count == 2 else range(count)
    decided = [k for k in asked if 0 < (truth == k).sum() < len(truth)]
    if len(decided) < len(asked):
        return float("nan")
    return float(np.mean([roc_auc_score(truth == k, chances[:, k]) for k in decided]))


def _average_precision(truth: Array, chances: Array, _: int) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(truth == 1, chances[:, 1])) if (truth == 1).any() else float("nan")


def _neg_log_loss(truth: Array, chances: Array, count: int) -> float:
    from sklearn.metrics import log_loss

    return -float(log_loss(truth, chances, labels=list(range(count))))


def _f1(truth: Array, found: Array, _: int) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(truth, found, zero_division=0.0))


def _f1_macro(truth: Array, found: Array, _: int) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(truth, found, average="macro", zero_division=0.0))


def _accuracy(truth: Array, found: Array, _: int) -> float:
    return float((truth == found).mean()) if len(truth) else float("nan")


def _balanced_accuracy(truth: Array, found: Array, _: int) -> float:
    """The mean recall over the classes that there are."""
    recalls = [(found[truth == k] == k).mean() for k in np.unique(truth)]
    return float(np.mean(recalls)) if recalls else float("nan")


def _r2(truth: Array, found: Array) -> float:
    from sklearn.metrics import r2_score

    return float(r2_score(truth, found)) if len(truth) > 1 else float("nan")


def _neg_mean_absolute_error(truth: Array, found: Array) -> float:
    return -float(np.abs(truth - found).mean())


def _neg_root_mean_squared_error(truth: Array, found: Array) -> float:
    return -float(np.sqrt(((truth - found) ** 2).mean()))


_CLASSIFICATION: dict[str, Callable[[Array, Array, int], float]] = {
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "neg_log_loss": _neg_log_loss,
    "f1": _f1,
    "f1_macro": _f1_macro,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
}
_REGRESSION: dict[str, Callable[[Array, Array], float]] = {
    "r2": _r2,
    "neg_mean_absolute_error": _neg_mean_absolute_error,
    "neg_root_mean_squared_error": _neg_root_mean_squared_error,
}
