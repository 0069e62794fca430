"""Judges what a table holds, beyond its schema: labels that can teach, and values that have moved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlops.statistics.drift import EFFECT, LEAST_ROWS, Shift
from mlops.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 8


def judge_label(values: pd.Series | None, *, label: str, model: str) -> Finding:
    """Whether a column can be a label at all: it is there, has values, and more than one."""
    if values is None:
        problem, step = "is not a column of the source", f"correct label= of {model}, or the source"
    elif not len(values.dropna()):
        problem, step = f"is missing in all {len(values):,} rows", "look where the labels come from"
    elif values.nunique() < 2:
        known = len(values.dropna())
        problem = f"is {values.dropna().iloc[0]!s} in all {known:,} labelled rows"
        step = "a model needs examples of both kinds: look at the source's filters"
    else:
        message = f"the label {label!r} has {values.nunique():,} different values"
        return Finding(check="data.label", outcome=Outcome.PASS, subject=label, message=message, n=len(values))
    return Finding(
        check="data.label",
        outcome=Outcome.FAIL,
        subject=label,
        message=f"the label {label!r} of {model} {problem}",
        n=None if values is None else len(values),
        next_step=step,
    )


def judge_shifts(shifts: Iterable[Shift], *, champion: str) -> tuple[Finding, ...]:
    """One finding per column that moved since the champion was trained, or one that says that none did."""
    every = list(shifts)
    moved = [shift for shift in every if shift.found]
    if moved:
        return tuple(_moved(shift, champion) for shift in moved)
    rows = min((shift.n for shift in every), default=0)
    if every and rows < LEAST_ROWS:
        return (_skip(f"{rows:,} rows cannot show drift; {LEAST_ROWS:,} can"),)
    largest = f"; the largest effect is {every[0].effect:.3f} in {every[0].column!r}" if every else ""
    message = f"{len(every)} columns look as they did when {champion} was trained{largest}"
    return (_shift_finding(Outcome.PASS, message, measured=every[0].effect if every else None, n=rows),)


def no_champion(reason: str) -> Finding:
    """The skip of value skew where there is nothing to compare with."""
    return _skip(reason)


def _moved(shift: Shift, champion: str) -> Finding:
    unit = "standard deviations" if shift.kind == "values" else "of the rows"
    moved = {"values": "its values moved", "categories": "its categories moved", "missing": "its gaps moved"}[
        shift.kind
    ]
    return _shift_finding(
        Outcome.FAIL,
        f"column {shift.column!r} is not what it was when {champion} was trained: {moved} by {shift.effect:.2f} {unit}"
        f" (p = {shift.p:.1g} after Holm)",
        subject=shift.column,
        measured=shift.effect,
        n=shift.n,
    )


def _shift_finding(
    outcome: Outcome, message: str, *, subject: str = "", measured: float | None = None, n: int | None = None
) -> Finding:
    return Finding(
        check="data.value_skew",
        outcome=outcome,
        severity=Severity.RETRAIN,
        subject=subject,
        message=message,
        measured=measured,
        threshold=EFFECT,
        n=n,
        next_step="retrain on today's data: `mlops run`" if outcome is Outcome.FAIL else "",
    )


def _skip(reason: str) -> Finding:
    return Finding(check="data.value_skew", outcome=Outcome.SKIPPED, severity=Severity.RETRAIN, message=reason)
