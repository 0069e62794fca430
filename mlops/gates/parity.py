"""Judges whether a packaged model answers as the one that was trained, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops.serving.predictors import Prediction
from mlops.verdict import Finding, Outcome, Severity

PARITY, FORM, GOLDEN = "package.parity", "package.form", "package.golden"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far two sets of answers for the same rows lie apart.

    `largest` is the largest difference of a probability; of a regression the largest difference in units
    of the answer itself, or of the answers' standard deviation where that is more. `worst` is its position.
    """

    rows: int
    largest: float
    worst: int
    labels: int  # rows that got another label

    def agrees(self, tolerance: float) -> bool:
        """Whether every label is the same and no difference is beyond the tolerance; False without rows."""
        return self.rows > 0 and self.labels == 0 and self.largest <= tolerance

    def sentence(self, tolerance: float) -> str:
        """What was found, in words."""
        if self.agrees(tolerance):
            return f"equal labels in {self.rows:,} rows, largest difference {self.largest:.1e}"
        if self.labels:
            return f"another label in {self.labels:,} of {self.rows:,} rows, first in row {self.worst:,}"
        where = f"in {self.rows:,} rows, in row {self.worst:,}"
        return f"largest difference {self.largest:.1e} {where}; allowed {tolerance:.0e}"


def compare(reference: Prediction, candidate: Prediction, *, regression: bool) -> Parity:
    """The differences between two predictions of the same rows; a number that is not finite counts as infinite."""
    count = len(reference.values)
    if len(candidate.values) != count:
        return Parity(rows=count, largest=float("inf"), worst=0, labels=count)
    apart = np.zeros(count) if regression else _labels_apart(reference, candidate)
    difference = _numbers_apart(reference, candidate, regression=regression)
    worst = int(np.argmax(np.where(apart > 0, np.inf, difference))) if count else 0
    return Parity(rows=count, largest=float(difference.max(initial=0.0)), worst=worst, labels=int(apart.sum()))


def _labels_apart(reference: Prediction, candidate: Prediction) -> np.ndarray[Any, Any]:
    return np.array(
        [a != b for a, b in zip(reference.values.tolist(), candidate.values.tolist(), strict=True)], dtype=float
    )


def _numbers_apart(reference: Prediction, candidate: Prediction, *, regression: bool) -> np.ndarray[Any, Any]:
    if regression:
        expected = np.asarray(reference.values, dtype=float)
        unit = np.maximum(np.abs(expected), max(float(np.std(expected)), np.finfo(float).tiny))
        apart = np.abs(np.asarray(candidate.values, dtype=float) - expected) / unit
    elif reference.probabilities is None or candidate.probabilities is None:
        lost = (reference.probabilities is None) != (candidate.probabilities is None)
        return np.full(len(reference.values), np.inf if lost else 0.0)
    else:
        apart = np.abs(candidate.probabilities - reference.probabilities).max(axis=1)
    return np.where(np.isfinite(apart), apart, np.inf)


def judge_payload(parity: Parity, tolerance: float, form: str) -> Finding:
    """Whether the packaged model, loaded again, answers every held-out row as the trained one."""
    good = parity.agrees(tolerance)
    return Finding(
        check=PARITY,
        outcome=Outcome.PASS if good else Outcome.FAIL,
        message=f"{form} against the trained model: {parity.sentence(tolerance)}",
        **_evidence(parity, tolerance),
        next_step="" if good else "run again; if it stays, the model answers otherwise from call to call",
    )


def _evidence(parity: Parity, tolerance: float) -> dict[str, Any]:
    """Rows that got another label where there are some, else the largest difference; and the worst row."""
    rows = () if parity.agrees(tolerance) or not parity.rows else (parity.worst,)
    if parity.labels:
        return {"measured": f"{parity.labels:,} other labels", "threshold": "none", "n": parity.rows, "rows": rows}
    return {"measured": parity.largest, "threshold": tolerance, "n": parity.rows, "rows": rows}


def judge_form(form: str, wanted: str, reason: str) -> Finding:
    """Whether the model has the fast form; without it a warning, and a failure where it was demanded."""
    if form == "onnx" or wanted == "skops":
        how = "ONNX, one row in microseconds" if form == "onnx" else "skops, as configured"
        return Finding(check=FORM, outcome=Outcome.PASS, message=how)
    demanded = wanted == "onnx"
    step = 'use form = "auto" under [tool.mlops.package], or change the model' if demanded else "nothing must be done"
    return Finding(
        check=FORM,
        outcome=Outcome.FAIL,
        severity=Severity.FAIL if demanded else Severity.WARN,
        message=f"the model stays in skops, where a row costs milliseconds: {reason}",
        next_step=step,
    )


def judge_golden(parity: Parity | None, tolerance: float, problem: str = "") -> Finding:
    """Whether requests, through their own code path, get the answers that the training table got."""
    if parity is None or problem:
        message, good = problem or "no held-out row can be a request", False
    else:
        message, good = f"requests against the training table: {parity.sentence(tolerance)}", parity.agrees(tolerance)
    return Finding(
        check=GOLDEN,
        outcome=Outcome.PASS if good else Outcome.FAIL,
        message=message,
        **(_evidence(parity, tolerance) if parity else {"n": 0}),
        next_step=""
        if good
        else "an on-demand feature that depends on other rows, or on the type of a column, differs at a request",
    )
