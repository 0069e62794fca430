"""Judges whether a model's probabilities mean what they say."""

from __future__ import annotations

import math
from typing import Any

from mlops.gates.model import finding
from mlops.statistics.calibration import calibration
from mlops.statistics.influence import Answers
from mlops.verdict import Finding, Outcome, Severity

USUAL = 0.05
"""The calibration error from which on we warn, where the project names none."""


def judge_calibration(answers: Answers, limit: float | None, *, model: str) -> Finding:
    """Whether probabilities stray from what happens by more than the limit: a warning, or a stop where one is set."""
    severity = Severity.WARN if limit is None else Severity.FAIL
    allowed = USUAL if limit is None else limit
    where = f"[tool.mlops.models.{model}]"
    if answers.probabilities is None:
        if limit is None:
            return finding("calibration", Outcome.SKIPPED, "the model gives no probabilities", severity=severity)
        step = f"return a classifier that gives them, or remove calibration from {where}"
        return finding("calibration", Outcome.NOT_RUN, "the model gives no probabilities", next_step=step)
    found = calibration(answers)
    if not math.isfinite(found.error):
        outcome = Outcome.SKIPPED if limit is None else Outcome.INSUFFICIENT
        message = f"{found.n} held-out rows are too few to tell what the probabilities mean"
        step = "hold out more rows" if limit is not None else ""
        return finding("calibration", outcome, message, severity=severity, n=found.n, next_step=step)
    lean = f"{abs(found.lean):.3f} too {'high' if found.lean > 0 else 'low'} on average"
    said = (
        f"calibration error {found.error:.4f} on {found.n:,} held-out rows "
        f"(95 %: {found.lower:.4f} to {found.upper:.4f}), {lean}; "
        f"Spiegelhalter's z {found.z:+.2f}, p {found.p:.2g}"
    )
    evidence: dict[str, Any] = {
        "severity": severity,
        "measured": found.error,
        "interval": (found.lower, found.upper),
        "threshold": allowed,
        "n": found.n,
    }
    if found.error <= allowed:
        return finding("calibration", Outcome.PASS, f"{said}, limit {allowed:g}", **evidence)
    step = "wrap the model in CalibratedClassifierCV, leave class weights out, or do not read its probabilities as odds"
    if found.lower > allowed:
        message = f"the probabilities do not mean what they say: {said}, limit {allowed:g}"
        return finding("calibration", Outcome.FAIL, message, next_step=step, **evidence)
    message = f"the probabilities may not mean what they say, but these rows cannot decide: {said}, limit {allowed:g}"
    step = f"hold out more rows; or {step}"
    return finding("calibration", Outcome.INSUFFICIENT, message, next_step=step, **evidence)
