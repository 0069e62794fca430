"""Judges what a table holds, beyond its schema: labels that can teach, and values that have moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.statistics.attribution import Cost
from mlops.statistics.drift import EFFECT, LEAST_ROWS, Shift
from mlops.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What the shifts cost the model, dearest first, in a unit; or the reason why that is not known."""

    costs: tuple[Cost, ...] = ()
    unit: str = ""
    reason: str = ""

    @property
    def by_name(self) -> Mapping[str, Cost]:
        """The costs by column."""
        return {cost.column: cost for cost in self.costs}

    def order(self, columns: Sequence[str]) -> list[str]:
        """The columns, dearest first; those without a cost come last, as they are."""
        known = [cost.column for cost in self.costs if cost.column in columns]
        return [*known, *(name for name in columns if name not in known)]


_BY_CHANCE = 1e-6
"""A column is called empty on one side where the other side's share of gaps makes that rarer than this."""


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


def judge_sides(train: pd.DataFrame, holdout: pd.DataFrame) -> tuple[Finding, ...]:
    """The columns that are empty on one side of the split and were not by chance; or one finding that none is."""
    share = {"training": train.isna().mean(), "held-out": holdout.isna().mean()}
    rows = {"training": len(train), "held-out": len(holdout)}
    found = []
    for side, other in (("held-out", "training"), ("training", "held-out")):
        for name in train.columns:
            if share[side][name] == 1.0 and share[other][name] ** rows[side] < _BY_CHANCE:
                message = f"column {name!r} is empty in all {rows[side]:,} {side} rows, and not in the {other} rows"
                found.append(_side(Outcome.FAIL, message, rows[side], subject=str(name)))
    if found:
        return tuple(found)
    message = f"none of {len(train.columns)} columns is empty on one side of the split alone"
    return (_side(Outcome.PASS, message, sum(rows.values())),)


def _side(outcome: Outcome, message: str, n: int, *, subject: str = "") -> Finding:
    return Finding(
        check="data.sides",
        outcome=outcome,
        severity=Severity.WARN,
        subject=subject,
        message=message,
        n=n,
        next_step="ask whether its feed began or stopped; ignore=[…] leaves it out" if subject else "",
    )


def judge_shifts(
    shifts: Iterable[Shift],
    *,
    champion: str,
    ranked: Ranking | None = None,
    of: int | None = None,
    next_step: str = "retrain on today's data: `mlops run`",
) -> tuple[Finding, ...]:
    """One finding per column that moved since the champion was trained, or one that says that none did.

    With a `ranked` cost the dearest column comes first, else the one that moved farthest. `of` is the number of rows
    of which the compared ones are a sample.
    """
    every = list(shifts)
    moved = [shift for shift in every if shift.found]
    rows = min((shift.n for shift in every), default=0)
    sampled = f"; a seeded sample of {rows:,} of {of:,} rows, which finds {EFFECT:g} for certain" if of else ""
    if moved:
        places = ranked.order([shift.column for shift in moved]) if ranked else [shift.column for shift in moved]
        by_name = {shift.column: shift for shift in moved}
        told = [
            _moved(by_name[name], champion, _told(name, place, len(moved), ranked), sampled, next_step)
            for place, name in enumerate(places, 1)
        ]
        return tuple(told)
    if every and rows < LEAST_ROWS:
        return (_skip(f"{rows:,} rows cannot show drift; {LEAST_ROWS:,} can"),)
    largest = f"; the largest effect is {every[0].effect:.3f} in {every[0].column!r}" if every else ""
    message = f"{len(every)} columns look as they did when {champion} was trained{largest}{sampled}"
    return (_shift_finding(Outcome.PASS, message, measured=every[0].effect if every else None, n=rows),)


def no_champion(reason: str) -> Finding:
    """The skip of value skew where there is nothing to compare with."""
    return _skip(reason)


def _told(name: str, place: int, count: int, ranked: Ranking | None) -> str:
    """What the shift costs the model, in words; or why that is not known."""
    if ranked is None:
        return ""
    cost = ranked.by_name.get(name)
    if cost is None:
        return f"; what that costs the model is not known: {ranked.reason}"
    low, high = cost.interval
    place_of = f" (number {place} of {count})" if count > 1 else ""
    return (
        f"; it costs the model up to {cost.loss:.3g} {ranked.unit} ({low:.2g} to {high:.2g}, {cost.n:,} rows){place_of}"
    )


_LEAST_P = 1e-15
"""Smaller ones are not told apart: a probability of 0 is none."""


def _moved(shift: Shift, champion: str, cost: str, sampled: str, next_step: str) -> Finding:
    unit = "standard deviations" if shift.kind == "values" else "of the rows"
    moved = {"values": "its values moved", "categories": "its categories moved", "missing": "its gaps moved"}[
        shift.kind
    ]
    return _shift_finding(
        Outcome.FAIL,
        f"column {shift.column!r} is not what it was when {champion} was trained: {moved} by {shift.effect:.2f} {unit}"
        f" (p {'< 1e-15' if shift.p < _LEAST_P else f'= {shift.p:.1g}'} after Holm){cost}{sampled}",
        subject=shift.column,
        measured=shift.effect,
        n=shift.n,
        interval=shift.interval,
        next_step=next_step,
    )


def _shift_finding(
    outcome: Outcome,
    message: str,
    *,
    subject: str = "",
    measured: float | None = None,
    n: int | None = None,
    interval: tuple[float, float] | None = None,
    next_step: str = "",
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
        interval=interval,
        next_step=next_step,
    )


def _skip(reason: str) -> Finding:
    return Finding(check="data.value_skew", outcome=Outcome.SKIPPED, severity=Severity.RETRAIN, message=reason)
