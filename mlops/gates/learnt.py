"""What fitting left in an estimator: its parts by the place where they stand, and the numbers that they learnt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_INSIDE = ("steps", "transformers_", "estimators_", "estimator_", "best_estimator_", "final_estimator_")

_HONEST = ("oob_", "scores_", "cv_results_", "mse_path_", "coef_path_", "best_loss_", "best_validation_score_")
"""Attributes that a sound fit leaves without a number: rows never out of the bag, folds that were not scored."""


def parts(estimator: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """The estimator and all estimators in it, each with its place in words: `step 'scale' (StandardScaler)`."""
    yield where or type(estimator).__name__, estimator
    for name in _INSIDE:
        inner = getattr(estimator, name, None)
        if inner is None or isinstance(inner, str):
            continue
        items = inner if isinstance(inner, list | tuple | np.ndarray) else [inner]
        for place, candidate in _members(name, items):
            label = f"{place} ({type(candidate).__name__})"
            yield from parts(candidate, f"{where} > {label}" if where else label)


def _members(name: str, items: Any) -> Iterator[tuple[str, Any]]:
    for position, item in enumerate(items):
        pair = item if isinstance(item, list | tuple | np.ndarray) else [item]
        given = next((one for one in pair if isinstance(one, str)), "")
        for candidate in pair:
            if hasattr(candidate, "fit"):
                yield (f"step {given!r}" if given else f"{name}[{position}]" if len(items) > 1 else name), candidate


def numbers(part: Any) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """The float numbers that a predicting part has learnt, by attribute, with trees' leaves; shapes as they are.

    Transformers are left out: a column without any value leaves a mean without a number, which is honest.
    """
    if not callable(getattr(part, "predict", None)):
        return
    for name in ("coef_", "intercept_"):  # properties in some estimators
        yield from _floats(name, getattr(part, name, None))
    for name, value in sorted(getattr(part, "__dict__", {}).items()):
        ours = name.endswith("_") and not name.startswith("_") and name not in ("coef_", "intercept_")
        if ours and not name.startswith(_HONEST):
            yield from _floats(name, value)
    tree = getattr(part, "tree_", None)
    if tree is not None and not isinstance(tree, np.ndarray):
        yield from _floats("tree_.value", getattr(tree, "value", None))
    for position, trees in enumerate(getattr(part, "_predictors", ())):  # of histogram boosting
        for one in trees:
            nodes = getattr(one, "nodes", None)
            if nodes is not None and "value" in (nodes.dtype.names or ()):
                yield f"_predictors[{position}].nodes['value']", np.asarray(nodes["value"], dtype=np.float64)


def _floats(name: str, value: Any) -> Iterator[tuple[str, NDArray[np.float64]]]:
    if isinstance(value, list | tuple) and value and all(isinstance(one, np.ndarray) for one in value):
        for position, one in enumerate(value):
            yield from _floats(f"{name}[{position}]", one)
        return
    plain = value.tocsr().data if hasattr(value, "tocsr") else value  # sparse coefficients
    listed = isinstance(plain, list) and bool(plain) and all(isinstance(one, float) for one in plain)
    floats = isinstance(plain, np.ndarray) and plain.dtype.kind == "f"
    if listed or floats or isinstance(plain, float):
        yield name, np.asarray(plain, dtype=np.float64)
