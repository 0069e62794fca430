"""Tries whether a feature view reads what was not there yet: later events, rows known later, labels known later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mlops.declare import FeatureView
from mlops.gates.features import said
from mlops.gates.trying import CLOSE, Difference, attempt, difference, told
from mlops.verdict import Finding, Severity

if TYPE_CHECKING:
    import pandas as pd

_CUTS = (0.3, 0.6, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayedLabel:
    """A column of the source that is known only some time after its row."""

    column: str
    delay: timedelta
    values: tuple[Any, ...]  # what it can be, in the whole source


def look_ahead(view: FeatureView, source: pd.DataFrame, frame: pd.DataFrame, time: str) -> tuple[Finding, ...]:
    """Whether the rows until a moment are the same when the later ones are taken away."""
    for cut in _cuts(source[time]):
        past = attempt(view, source[source[time] <= cut].reset_index(drop=True))
        if isinstance(past, Finding):
            problem = f"cannot be computed from the rows until {cut} alone: {past.message}"
            return (said(view, "look-ahead", problem, next_step="let it work with a short history too"),)
        step = "let each row use rows of its own time and before only: no shift(-1), centred window or whole-table mean"
        found = _until(view, frame, past, cut)
        if found is not None:
            names = ("all rows", f"the rows until {cut}")
            return (told(view, "look-ahead", found, "looks ahead: a later event changes an earlier row", names, step),)
    return (said(view, "look-ahead"),)


def known_ahead(view: FeatureView, source: pd.DataFrame, frame: pd.DataFrame) -> tuple[Finding, ...]:
    """Whether what is said to be known at a moment can be computed from what was known then, and was said then."""
    if view.created is None:
        return ()
    if view.created not in source:
        return (untimed(view, view.created),)
    restated: tuple[Difference, pd.Timestamp] | None = None
    for cut in _cuts(source[view.created]):
        past = attempt(view, source[source[view.created] <= cut].reset_index(drop=True))
        if isinstance(past, Finding):
            problem = f"cannot be computed from the rows known until {cut} alone: {past.message}"
            return (said(view, "known-ahead", problem, next_step="let it work with a short history too"),)
        then, now = _rows_until(past, cut, view.created), _rows_until(frame, cut, view.created)
        kept = _of(then, now, view)
        found = difference(view, now, kept, tolerance=CLOSE)
        if found is not None:
            names = ("all rows", f"the rows known until {cut}")
            problem = f"reads rows before they are known: a row said to be known by {view.created} changes"
            step = f"let {view.created} be the latest one of all rows that a value is computed from"
            return (told(view, "known-ahead", found, problem, names, step),)
        gone = difference(view, then, _of(now, then, view), tolerance=CLOSE)
        if gone is not None and restated is None:
            restated = gone, cut
    return said(view, "known-ahead"), _restated(view, restated)


def _restated(view: FeatureView, restated: tuple[Difference, pd.Timestamp] | None) -> Finding:
    """A warning where a row that the requests of a time have seen is gone later: training will not see it."""
    if restated is None:
        return said(view, "restated")
    found, cut = restated
    text = found.text.replace("{0}", f"the rows known until {cut}").replace("{1}", "all rows")
    step = f"keep the row as it was first known, and return the revision as a row of its own with its {view.created}"
    problem = f"takes back what was known: {text} ({found.count} rows differ)"
    return said(view, "restated", problem, next_step=step, rows=found.rows, severity=Severity.WARN)


def _rows_until(frame: pd.DataFrame, cut: pd.Timestamp, column: str) -> pd.DataFrame:
    return frame[frame[column] <= _alike(cut, frame[column])]


def _of(rows: pd.DataFrame, others: pd.DataFrame, view: FeatureView) -> pd.DataFrame:
    """The rows whose entity, time and known time the others have too."""
    import pandas as pd

    keys = list(view.keys)
    there = pd.MultiIndex.from_frame(rows[keys]).isin(pd.MultiIndex.from_frame(others[keys]))
    return rows[there]


def label_delay(
    view: FeatureView, source: pd.DataFrame, frame: pd.DataFrame, time: str, label: DelayedLabel
) -> Finding:
    """Turns every label that is not known at a moment into another one: no row until then may change."""
    for cut in _cuts(source[time]):
        unknown = (source[time] > cut - label.delay).to_numpy()
        other = source.assign(
            **{label.column: source[label.column].where(~unknown, _turned(source[label.column], label))}
        )
        again = attempt(view, other)
        if isinstance(again, Finding):
            return again
        found = _until(view, frame, again, cut)
        if found is not None:
            days = label.delay.total_seconds() / 86400
            step = f"end its window {days:g} days earlier: only labels that old are known"
            problem = f"reads {label.column} before it is known, {days:g} days after the event"
            return told(view, "label-delay", found, problem, ("these labels", "other unknown labels"), step)
    return said(view, "label-delay")


def _turned(values: pd.Series, label: DelayedLabel) -> pd.Series:
    """Each value as another one of those that there are, of the same type."""
    other = dict(zip(label.values, reversed(label.values), strict=True))
    return values.map(lambda value: other.get(value, value)).astype(values.dtype)


def _until(view: FeatureView, frame: pd.DataFrame, other: object, cut: pd.Timestamp) -> Difference | None:
    import pandas as pd

    if not isinstance(other, pd.DataFrame) or view.timestamp not in other:
        return difference(view, frame, other, tolerance=CLOSE)
    past = [_rows_until(f, cut, view.timestamp) for f in (frame, other)]
    return difference(view, past[0], past[1], tolerance=CLOSE)


def _alike(cut: pd.Timestamp, times: pd.Series) -> pd.Timestamp:
    """The moment with or without a zone, as the column has it; without one it is UTC."""
    zone = getattr(times.dtype, "tz", None)
    if (zone is None) == (cut.tz is None):
        return cut
    return cut.tz_convert(None) if zone is None else cut.tz_localize("UTC")


def _cuts(times: pd.Series) -> list[pd.Timestamp]:
    known = times.dropna().sort_values(ignore_index=True)
    return list(dict.fromkeys(known.iloc[int(len(known) * share)] for share in _CUTS)) if len(known) else []


def untimed(view: FeatureView, column: str) -> Finding:
    """The finding that nothing can be tried, because the source lacks the time."""
    lacking = "no time" if column == view.timestamp else f"no column {column!r}"
    problem = f"reads the source {view.source!r}, which has {lacking}, so a look ahead cannot be ruled out"
    check = "look-ahead" if column == view.timestamp else "known-ahead"
    return said(view, check, problem, next_step=f"keep {column} in the source under that name")
