"""Judges a model in parts of the held-out rows: which part does it serve much worse than the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops.gates.model import tolerance
from mlops.statistics.influence import Answers, measure
from mlops.statistics.paired import interval
from mlops.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd

WEAK_SEGMENT = 0.1
SEGMENT_ROWS = 50
_MOST_SEGMENTS = 20
_SHOWN = 5


def judge_segments(
    metric: str, answers: Answers, segments: Mapping[str, pd.Series], overall: float
) -> tuple[Finding, ...]:
    """One finding per declared segment column: which of its values the model serves much worse than the rest."""
    return tuple(_judge_segment(metric, answers, name, values, overall) for name, values in segments.items())


def _judge_segment(metric: str, answers: Answers, name: str, values: pd.Series, overall: float) -> Finding:
    groups = _groups(values)
    weak, small, judged = [], 0, 0
    level = 1 - 0.05 / max(len(groups), 1)  # by Bonferroni: many segments must not make one look weak
    for value, rows in groups.items():
        if rows.sum() < SEGMENT_ROWS:
            small += 1
            continue
        part = _part(answers, rows)
        measured = measure(metric, part)
        if not math.isfinite(measured.value):
            small += 1
            continue
        judged += 1
        if interval(measured, level)[1] < overall - tolerance(metric, WEAK_SEGMENT, overall):
            weak.append(f"{value!r}: {measured.value:.4f} on {int(rows.sum()):,} rows")
    if not judged:
        reason = f"no value of {name!r} has {SEGMENT_ROWS} held-out rows of every class"
        return _finding("segment", Outcome.SKIPPED, reason, subject=name, severity=Severity.WARN)
    aside = f"; {small} values have too few rows" if small else ""
    if weak:
        message = f"{metric} is {overall:.4f} overall, but for {name!r} = {'; '.join(weak[:_SHOWN])}{aside}"
        step = "look at these rows: missing features, too few examples, or another kind of case"
        return _finding("segment", Outcome.FAIL, message, subject=name, severity=Severity.WARN, next_step=step)
    message = f"no value of {name!r} is served much worse than the rest ({judged} judged{aside})"
    return _finding("segment", Outcome.PASS, message, subject=name, severity=Severity.WARN)


def _groups(values: pd.Series) -> dict[str, NDArray[np.bool_]]:
    """Rows by value; a column with many numbers is cut into quarters, rare words are left out."""
    import pandas as pd

    if values.nunique() > _MOST_SEGMENTS and pd.api.types.is_numeric_dtype(values.dtype):
        values = pd.qcut(values, 4, duplicates="drop").astype(str)
    common = values.value_counts().index[:_MOST_SEGMENTS]
    return {str(value): (values == value).to_numpy() for value in common}


def _part(answers: Answers, rows: NDArray[np.bool_]) -> Answers:
    probabilities = None if answers.probabilities is None else answers.probabilities[rows]
    return Answers(answers.actual[rows], answers.predicted[rows], probabilities)


def _finding(check: str, outcome: Outcome, message: str, **evidence: Any) -> Finding:
    return Finding(check=f"model.{check}", outcome=outcome, message=message, **evidence)
