"""Judges a model's inputs: whether one alone tells the label, or is a key, a row number or a date."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops.gates.model import finding
from mlops.verdict import Finding, Outcome

if TYPE_CHECKING:
    import pandas as pd

TELLING = 0.998
"""A single feature that scores this much alone was written after the label (balanced accuracy, or R²).

An honest one comes close: the light in a room tells whether somebody is in it (occupancy: 0.996)."""

_LEAKAGE_ROWS = 20_000


def judge_leakage(
    train: pd.DataFrame, holdout: pd.DataFrame, labels: tuple[NDArray[np.float64], NDArray[np.float64]], *, classes: int
) -> tuple[Finding, ...]:
    """Whether one feature alone tells the label: by a small tree on each, fitted on training, scored on held-out rows.

    `train` and `holdout` hold the model's inputs, `labels` their codes or amounts.
    """
    telling = {}
    for name in train.columns:
        score = _alone(train[name], holdout[name], labels, classes)
        if score >= TELLING:
            telling[name] = score
    n = len(holdout)
    if not telling:
        message = f"none of {train.shape[1]} features tells the label alone"
        return (finding("leakage", Outcome.PASS, message, n=n, threshold=TELLING),)
    measure_name = "balanced accuracy" if classes else "R²"
    return tuple(
        finding(
            "leakage",
            Outcome.FAIL,
            f"the feature {name!r} alone tells the label ({measure_name} {score:.4f} on held-out rows)",
            subject=name,
            measured=score,
            threshold=TELLING,
            n=n,
            next_step=f"leave {name!r} out, or build it from what is known at the time of the prediction",
        )
        for name, score in telling.items()
    )


def _alone(
    train: pd.Series, holdout: pd.Series, labels: tuple[NDArray[np.float64], NDArray[np.float64]], classes: int
) -> float:
    from sklearn.metrics import balanced_accuracy_score, r2_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    first, second = _codes(train, holdout)
    x, y = first[:_LEAKAGE_ROWS], labels[0][:_LEAKAGE_ROWS]
    if len(np.unique(x)) < 2:
        return 0.0
    # Leaves hold a hundredth of the rows at least, so the tree cannot know rows by heart.
    least = max(2, min(20, len(x) // 100))
    if classes:
        # No class weights: an honest tree on a rare class stays with the frequent one, a leak does not.
        tree = DecisionTreeClassifier(max_leaf_nodes=max(8, 2 * classes), min_samples_leaf=least, random_state=0)
        return float(balanced_accuracy_score(labels[1], tree.fit(x, y).predict(second)))
    if len(labels[1]) < 2 or not np.ptp(labels[1]):
        return 0.0
    tree = DecisionTreeRegressor(max_leaf_nodes=256, min_samples_leaf=least, random_state=0)
    # A tree answers in steps; a line sees an amount that was only scaled.
    line = np.corrcoef(second[:, 0], labels[1])[0, 1] ** 2 if np.ptp(second) else 0.0
    return max(float(r2_score(labels[1], tree.fit(x, y).predict(second))), float(line))


def _codes(train: pd.Series, holdout: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(train.dtype):
        return _filled(train), _filled(holdout)
    words, _ = pd.factorize(pd.concat([train, holdout]).astype(str))
    both = words.astype(np.float64)[:, None]
    return both[: len(train)], both[len(train) :]


def _filled(values: pd.Series) -> NDArray[np.float64]:
    """A column as a matrix; missing values become one value far below."""
    numbers: NDArray[np.float64] = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=-1e30, posinf=1e30)
    return numbers[:, None]
