"""Judges a fit: whether the function gave a fitted model with finite answers that had time to converge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops.contract import Contract
from mlops.gates import learnt
from mlops.statistics.metrics import NEED_PROBABILITIES
from mlops.verdict import Finding, Outcome, Severity

RAN, FITTED, FINITE, CONVERGED, SAVED = (
    "train.ran",
    "train.fitted",
    "train.finite",
    "train.convergence",
    "train.saved",
)

_ITERATIVE = ("sklearn.linear_model", "sklearn.svm", "sklearn.neural_network")
_LOSSES = 3  # of a loss curve, before its direction means anything


def judge_kind(estimator: Any, contract: Contract, who: str) -> Finding | None:
    """A finding when what the function returned is no model for the task; `who` is its name, file and line."""
    problem = ""
    if estimator is None:
        problem = "None"
    elif isinstance(estimator, type):
        problem = f"the class {estimator.__name__}, not a fitted object"
    elif not callable(getattr(estimator, "predict", None)):
        problem = f"{type(estimator).__name__}, which has no predict"
    if problem:
        step = "return the estimator after .fit(X, y), as in `return Pipeline([...]).fit(X, y)`"
        return failure(RAN, f"{who} returned {problem}", step)
    known = getattr(estimator, "classes_", None)
    return None if known is None else _judge_classes(np.asarray(known).tolist(), contract, who)


def _judge_classes(known: Sequence[Any], contract: Contract, who: str) -> Finding | None:
    if contract.task == "regression":
        return failure(FITTED, f"{who} returned a classifier, but the task is regression", "return a regressor")
    strange = [label for label in known if label not in contract.classes]
    if not strange:
        return None
    listed = ", ".join(map(repr, strange[:5]))
    message = f"{who} returned a model of the classes {listed}, which the label {contract.label!r} does not have"
    return failure(FITTED, message, "fit it on the y that the function is given")


def judge_answers(values: Any, probabilities: Any, contract: Contract, who: str) -> Finding | None:
    """A finding when a prediction on the training rows is not finite, or no label of the contract."""
    step = "impute missing values inside the pipeline, scale the inputs, or lower the learning rate"
    if contract.task == "regression":
        return _first_infinite(np.asarray(values, dtype=float), "prediction", who, step)
    strange = {v for v in np.asarray(values).tolist() if v not in contract.classes}
    if strange:
        listed = ", ".join(sorted(map(repr, strange))[:3])
        return failure(
            FITTED,
            f"{who} returned a model that answers {listed}, not one of the {len(contract.classes)} labels",
            "return a classifier that was fitted on y",
        )
    return None if probabilities is None else _first_infinite(np.asarray(probabilities), "probability", who, step)


def judge_probabilities(probabilities: Any, contract: Contract, who: str) -> Finding | None:
    """A finding when the metric needs probabilities and the model gives none."""
    if probabilities is not None or contract.metric not in NEED_PROBABILITIES:
        return None
    return failure(
        FITTED,
        f"{who} returned a model without predict_proba, and {contract.metric} needs probabilities",
        'return a classifier that gives them, or judge it by labels: metric="balanced_accuracy" or "accuracy"',
    )


def _first_infinite(numbers: np.ndarray[Any, Any], what: str, who: str, step: str) -> Finding | None:
    bad = np.flatnonzero(~np.isfinite(numbers.reshape(len(numbers), -1)).all(axis=1))
    if not len(bad):
        return None
    message = f"{who}: the {what} is not a finite number in {len(bad)} of {len(numbers)} training rows"
    return failure(FINITE, message, step, rows=bad[:5].tolist(), n=len(numbers))


def judge_coefficients(estimator: Any, who: str) -> Finding | None:
    """A finding when a number that a part has learnt (a weight, a leaf, a loss) is not finite; it names the place."""
    for where, part in learnt.parts(estimator):
        for name, values in learnt.numbers(part):
            bad = int((~np.isfinite(values)).sum())
            if bad:
                message = (
                    f"{who}: {where}.{name} holds a number that is not finite ({bad:,} of {values.size:,} are not)"
                )
                step = "scale the inputs, look for infinite values in them, or lower the learning rate"
                return failure(FINITE, message, step, n=values.size)
    return None


def judge_convergence(estimator: Any, warned: Sequence[str], who: str, severity: Severity) -> Finding:
    """Whether every part of the model had the iterations that it needed; `warned` are its own words."""
    said = [f"{where} {text}" for where, part in learnt.parts(estimator) if (text := _exhausted(part) or _risen(part))]
    words = [" ".join(text.split()).partition(". ")[0] for text in warned]
    if not said and not words:
        return passed(CONVERGED, "every part converged")
    told = said[0] + (f": {words[0]}" if words else "") if said else words[0]
    more = max(len(said), len(words)) - 1
    return Finding(
        check=CONVERGED,
        outcome=Outcome.FAIL,
        severity=severity,
        message=f"{who} did not converge: {told}" + (f" (and {more} more)" if more > 0 else ""),
        next_step=f'scale the inputs or raise max_iter; or accept it: [tool.mlops.severity] "{CONVERGED}" = "warn"',
    )


def _exhausted(part: Any) -> str:
    used, limit = getattr(part, "n_iter_", None), getattr(part, "max_iter", None)
    if not type(part).__module__.startswith(_ITERATIVE) or used is None or not isinstance(limit, int) or limit <= 0:
        return ""
    most = int(np.max(used))
    return f"used all its {limit} iterations (n_iter_ = {most})" if most >= limit else ""


def _risen(part: Any) -> str:
    """A loss that ended above where it began: the steps are too long."""
    curve = getattr(part, "loss_curve_", None)
    if not isinstance(curve, list) or len(curve) < _LOSSES or not curve[-1] > curve[0]:
        return ""
    return f"lost more at the end than at the start (loss_curve_ from {curve[0]:.4g} to {curve[-1]:.4g})"


def failure(check: str, message: str, next_step: str, *, rows: Sequence[int] = (), n: int | None = None) -> Finding:
    """A finding that stops."""
    return Finding(check=check, outcome=Outcome.FAIL, message=message, next_step=next_step, rows=tuple(rows), n=n)


def passed(check: str, message: str) -> Finding:
    """A finding that all is well."""
    return Finding(check=check, outcome=Outcome.PASS, message=message)
