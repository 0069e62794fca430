"""Judges a model's inputs: whether one alone tells the label, or is a key, a row number or a date."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops.gates.model import finding
from mlops.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd

TELLING = 0.998
"""A single feature that scores this much alone was written after the label (balanced accuracy, or R²).

An honest one comes close: the light in a room tells whether somebody is in it (occupancy: 0.996)."""

KEY_TELLS = 0.4
"""A key or date that closes this much of the way from chance to certainty alone was given out by the label."""

_A_KEY, _A_ROW_NUMBER, _A_DATE = "a key", "a row number", "a date"
_LEAKAGE_ROWS = 20_000
LEAST_ROWS = 100
_UNIQUE = 0.95
_LONGEST_KEY = 64
_KEY_NAME = re.compile(r"(^|_)(id|uuid|guid|key|no|nr|number|index|row|rownum|instant)$", re.IGNORECASE)
_DATE_NAME = re.compile(r"(^|_)(date|time|timestamp|datetime|day|at|on)$", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
_EPOCHS = ((6e8, 4e9), (6e11, 4e12), (6e14, 4e15))  # seconds, milli- and microseconds since 1970: from 1989 to 2096


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


def judge_identifiers(
    train: pd.DataFrame, holdout: pd.DataFrame, labels: tuple[NDArray[np.float64], NDArray[np.float64]], *, classes: int
) -> tuple[Finding, ...]:
    """Whether a key, a row number or a date is among the inputs: a warning, and a stop where it tells the label.

    deepchecks looks at the declared key alone; what is meant here are inputs that nobody declared to be one.
    """
    n = len(train)
    if n < LEAST_ROWS:
        reason = f"{n} training rows are too few to tell a key from a number"
        return (finding("identifier", Outcome.SKIPPED, reason, n=n, severity=Severity.WARN),)
    found = []
    for name in train.columns:
        kind = _kind(train[name])
        if kind:
            score = _beyond_chance(_alone(train[name], holdout[name], labels, classes), classes)
            found.append(_identified(str(name), kind, score, len(holdout)))
    if found:
        return tuple(found)
    message = f"none of {train.shape[1]} inputs is a key, a row number or a date"
    return (finding("identifier", Outcome.PASS, message, n=n, severity=Severity.WARN),)


def _identified(name: str, kind: str, score: float, n: int) -> Finding:
    evidence: dict[str, Any] = {"subject": name, "measured": score, "threshold": KEY_TELLS, "n": n}
    step = f"add it to ignore=[{name!r}]"
    if score >= KEY_TELLS:
        message = (
            f"the input {name!r} is {kind}, and tells the label alone ({score:.0%} of the way from chance to certain): "
            "it was given out by the label, or the table is sorted by it; new rows will have other ones"
        )
        return finding("identifier", Outcome.FAIL, message, next_step=step, **evidence)
    message = f"the input {name!r} is {kind}: a model can learn rows by heart with it, and new rows have other ones"
    if kind == _A_DATE:
        step += ", or derive what returns from it (hour, weekday, age in days) in a feature"
    return finding("identifier", Outcome.FAIL, message, severity=Severity.WARN, next_step=step, **evidence)


def _kind(values: pd.Series) -> str:
    """What an input is that names rows or moments instead of describing them; "" for all others."""
    import pandas as pd

    present = values.dropna()
    if len(present) < LEAST_ROWS:
        return ""
    if not pd.api.types.is_numeric_dtype(present.dtype):
        return _kind_of_words(present.astype(str))
    return _kind_of_numbers(present.to_numpy(dtype=np.float64), str(values.name))


def _kind_of_words(words: pd.Series) -> str:
    some = words.head(1_000)
    if some.str.match(_DATE).mean() > _UNIQUE:
        return _A_DATE
    codes = some.str.len().max() <= _LONGEST_KEY and not some.str.contains(" ").any()
    return _A_KEY if codes and words.nunique() >= _UNIQUE * len(words) else ""


def _kind_of_numbers(numbers: NDArray[np.float64], name: str) -> str:
    if not np.isfinite(numbers).all() or (numbers % 1 != 0).any():
        return ""
    low, high = float(numbers.min()), float(numbers.max())
    if _DATE_NAME.search(name) and any(least <= low and high <= most for least, most in _EPOCHS):
        return _A_DATE
    if np.unique(numbers).size < _UNIQUE * numbers.size:
        return ""
    if high - low < 3 * numbers.size:  # every row its own number, and hardly a gap
        return _A_ROW_NUMBER
    return _A_KEY if _KEY_NAME.search(name) else ""


def _beyond_chance(score: float, classes: int) -> float:
    """A balanced accuracy as the share of the way from chance to certainty; an R² is one already."""
    return max(0.0, (score - 1 / classes) / (1 - 1 / classes)) if classes > 1 else max(0.0, score)


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
