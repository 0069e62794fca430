"""What models that never saw a row say of it, and the labels that they contradict, by cleanlab.

The model is the user's own estimator, cloned, or a quick boosting on the same inputs. It runs in one thread: on a few
thousand rows, threads that wait for each other cost more than they save.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]

MOST_ROWS = 5_000
"""Rows of a table that are looked at for the verdict: a share of 5 % is known to 0.6 points then."""

FOLDS = 3
_TREES = 90  # in all classes of a fold together
_FEWEST_TREES = 9


@contextmanager
def _alone() -> Iterator[None]:
    """Within, fits and answers take one thread and say nothing."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    with warnings.catch_warnings(), threadpool_limits(1, user_api="openmp"):
        warnings.simplefilter("ignore")
        yield


@_alone()
def probabilities(
    X: pd.DataFrame, codes: Positions, classes: Sequence[Any], *, seed: int, estimator: Any = None
) -> Floats:
    """Out-of-fold probabilities, shape (rows, classes); `codes` are each row's position in `classes`.

    `estimator` is cloned and fitted anew in each fold, on the labels themselves; None for a quick boosting. Each
    class has as many rows as there are folds, at least.
    """
    from sklearn.model_selection import StratifiedKFold

    found = np.zeros((len(X), len(classes)))
    rounds = max(_FEWEST_TREES, _TREES // len(classes)) if len(classes) > 2 else _TREES // 2
    labels, place = np.asarray(classes)[codes], {name: number for number, name in enumerate(classes)}
    for inner, outer in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(X, codes):
        model = _fitted(_quick(rounds, seed, "classes") if estimator is None else estimator, X, labels, inner)
        columns = [place[name] for name in np.asarray(model.classes_).tolist()]
        found[np.ix_(outer, columns)] = model.predict_proba(X.iloc[outer])
    return found


@_alone()
def numbers(X: pd.DataFrame, y: Floats, *, seed: int, estimator: Any = None) -> Floats:
    """Out-of-fold predictions of a regression, shape (rows,)."""
    from sklearn.model_selection import KFold

    found = np.zeros(len(X))
    for inner, outer in KFold(FOLDS, shuffle=True, random_state=seed).split(X):
        model = _fitted(_quick(_TREES // 2, seed, "numbers") if estimator is None else estimator, X, y, inner)
        found[outer] = np.asarray(model.predict(X.iloc[outer]), dtype=np.float64).reshape(-1)
    return found


def suspicious(codes: Positions, found: Floats) -> Positions:
    """Positions of the rows whose label is likely wrong, worst first.

    Confident learning (Northcutt, Jiang and Chuang 2021): a row counts where its out-of-fold probability of another
    class is above that class's own mean, as many of each class as the joint of given and true labels makes likely.
    """
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ranked = find_label_issues(codes, found, return_indices_ranked_by="self_confidence", n_jobs=1)
    return np.asarray(ranked, dtype=np.int64)


def _quick(rounds: int, seed: int, what: str) -> Any:
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    boosting = HistGradientBoostingClassifier if what == "classes" else HistGradientBoostingRegressor
    return make_pipeline(
        make_column_transformer((words, make_column_selector(dtype_include=object)), ("passthrough", _present)),
        boosting(max_iter=rounds, learning_rate=0.15, max_leaf_nodes=15, early_stopping=False, random_state=seed),
    )


def _present(X: pd.DataFrame) -> list[str]:
    """The columns of numbers that have any: scikit-learn 1.9 cannot bin one without a value in the rows of a fold."""
    return [str(name) for name in X.select_dtypes("number") if X[name].notna().any()]


def _fitted(estimator: Any, X: pd.DataFrame, y: NDArray[Any], rows: Positions) -> Any:
    from sklearn.base import clone

    return clone(estimator).fit(X.iloc[rows], y[rows])
