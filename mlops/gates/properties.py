"""Properties that every feature view must have, tried on real rows: the view is a pure function of the past.

Called again it gives the same; the order of rows does not matter; a later event never changes an earlier row; a
label that is not known yet is not read; the given frame is left alone.
"""

from __future__ import annotations

import ast
import textwrap
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.declare import Declared, FeatureView
from mlops.gates.features import SHOWN, judge_origin, judge_shape, said
from mlops.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd

ROWS, ROWS_EACH = 2000, 100
_CUTS = (0.3, 0.6, 0.9)
_SAME, _CLOSE = 1e-12, 1e-7  # relative: of one computation, of one that sums in another order
_CLOCK = ("now", "today", "utcnow")


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayedLabel:
    """A column of the source that is known only some time after its row."""

    column: str
    delay: timedelta
    values: tuple[Any, ...]  # what it can be, in the whole source


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where two results of a view part: in words, and the entities of the first rows."""

    text: str
    rows: tuple[int | str, ...]
    count: int


def sample(source: pd.DataFrame, entity: str, time: str | None) -> pd.DataFrame:
    """At most `ROWS` rows in the source's order: the first `ROWS_EACH` of frequent and of random entities."""
    if len(source) <= ROWS:
        return source.reset_index(drop=True)
    ordered = source.sort_values(time, kind="stable") if time else source
    if entity not in source:
        return ordered.head(ROWS).sort_index().reset_index(drop=True)
    counts = (
        source[entity].value_counts().sort_index().sort_values(ascending=False, kind="stable").clip(upper=ROWS_EACH)
    )
    frequent = counts[counts.cumsum() <= ROWS // 2]
    others = counts.drop(frequent.index)
    others = others.iloc[np.random.default_rng(0).permutation(len(others))]
    chosen = [*frequent.index, *others[others.cumsum() <= ROWS - int(frequent.sum())].index] or [counts.index[0]]
    rows = ordered[ordered[entity].isin(chosen)].groupby(entity, sort=False).head(ROWS_EACH)
    return rows.sort_index().reset_index(drop=True)


def judge_view(
    view: FeatureView, source: pd.DataFrame, *, time: str | None, labels: Sequence[DelayedLabel] = ()
) -> tuple[Finding, ...]:
    """One finding for each property of `view` on the rows of `source`, whose event time is the column `time`."""
    given = source.copy()
    frame = attempt(view, given)
    if isinstance(frame, Finding):
        return (frame,)
    clock, mutation = judge_clock(view), _mutation(view, source, given)
    shape = judge_shape(view, frame)
    if any(f.outcome is Outcome.FAIL and f.severity is Severity.FAIL for f in shape):
        return *shape, mutation, clock
    return (
        *shape,
        *judge_origin(view, frame, source),
        mutation,
        clock,
        _deterministic(view, source, frame),
        _row_order(view, source, frame),
        *(_look_ahead(view, source, frame, time) if time else (_untimed(view),)),
        *(_label_delay(view, source, frame, time, label) for label in labels if time),
    )


def attempt(view: FeatureView, source: pd.DataFrame) -> pd.DataFrame | Finding:
    """What the view returns, or the finding that it raised, with the line of its own file."""
    try:
        frame: pd.DataFrame = view.function(source)
    except Exception as error:  # noqa: BLE001 - the user's function may raise anything; it becomes a finding
        return raised(view, error)
    return frame


def raised(declared: Declared, error: Exception, when: str = "") -> Finding:
    """The finding that a declared function raised."""
    inside = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == declared.code_file]
    line = f" in line {inside[-1].lineno}" if inside else ""
    problem = f"raised {type(error).__name__}{line}{when}: {error}"
    return said(declared, "runs", problem, next_step="mend that line; a test with a small frame shows it at once")


def judge_elsewhere(view: FeatureView, here: pd.DataFrame, elsewhere: pd.DataFrame | None, error: str = "") -> Finding:
    """Whether another process, in which strings hash otherwise, computes the same from the same rows."""
    step = "sort what comes from a set or dict; take no state from outside the function"
    if elsewhere is None:
        return said(view, "other-process", f"raised in another process: {error or 'no result'}", next_step=step)
    found = difference(view, here, elsewhere, tolerance=_CLOSE)
    return _told(view, "other-process", found, "differs in another process", ("here", "there"), step)


def judge_clock(declared: Declared) -> Finding:
    """Whether the function's own code asks for the present time, which is another one at training and serving."""
    import inspect

    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(declared.function)))
    except (OSError, SyntaxError, TypeError):
        return said(declared, "clock")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = ast.unparse(node.func)
            if node.func.attr in _CLOCK or name == "time.time":
                line = declared.origin.line + node.lineno - 1
                step = "use the row's own time: a feature is what was known at that moment"
                return said(declared, "clock", f"asks for the present time in line {line}: {name}()", next_step=step)
    return said(declared, "clock")


def difference(view: FeatureView, left: pd.DataFrame, right: object, *, tolerance: float) -> Difference | None:
    """The first difference of two results by entity and time; None where they are equal."""
    import pandas as pd

    keys = [view.entity, view.timestamp]
    if not isinstance(right, pd.DataFrame) or set(right.columns) != set(left.columns):
        columns = ", ".join(map(str, right.columns)) if isinstance(right, pd.DataFrame) else type(right).__name__
        return Difference(text=f"it returned {columns}", rows=(), count=len(left))
    if right.duplicated(keys).any():
        return Difference(text="some entity and time came twice", rows=(), count=len(left))
    a, b = (frame.set_index(keys).sort_index() for frame in (left, right))
    for index, others, text in (
        (a.index, b.index, "{0} has a row, {1} has none"),
        (b.index, a.index, "{1} has a row, {0} has none"),
    ):
        only = index.difference(others)
        if len(only):
            return Difference(text=f"{_at(view, only[0])}: {text}", rows=_entities(only), count=len(only))
    b = b.reindex(a.index)
    for name in a.columns:
        different = np.flatnonzero(_different(a[name], b[name], tolerance))
        if different.size:
            first = int(different[0])
            values = [frame[name].iloc[[first]].tolist()[0] for frame in (a, b)]
            text = f"{_at(view, a.index[first])}: {name} is {values[0]!r} with {{0}}, {values[1]!r} with {{1}}"
            return Difference(text=text, rows=_entities(a.index[different]), count=int(different.size))
    return None


def _different(left: pd.Series, right: pd.Series, tolerance: float) -> np.ndarray[Any, Any]:
    import pandas as pd

    missing_left, missing_right = left.isna().to_numpy(), right.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(left) and pd.api.types.is_numeric_dtype(right):
        x, y = (values.to_numpy(dtype="float64", na_value=np.nan) for values in (left, right))
        largest = np.abs(x[np.isfinite(x)]).max(initial=0.0)
        with np.errstate(invalid="ignore"):
            near = (x == y) | (np.abs(x - y) <= tolerance * np.abs(x) + tolerance * 1e-2 * largest)
    else:
        near = (left.astype(object) == right.astype(object)).to_numpy(dtype=bool)
    return ~np.where(missing_left | missing_right, missing_left & missing_right, near)


def _mutation(view: FeatureView, before: pd.DataFrame, after: pd.DataFrame) -> Finding:
    touched = [str(c) for c in {*before.columns, *after.columns} if c not in before or c not in after]
    if not touched and len(before) == len(after):
        touched = [str(c) for c in before.columns if not before[c].equals(after[c])]
    problem = f"changes the frame it is given: {', '.join(sorted(touched)) or 'its rows'}"
    changed = bool(touched) or len(before) != len(after) or not before.index.equals(after.index)
    step = "begin with a copy: .copy(), .assign(…) or .sort_values(…) without inplace=True"
    return said(view, "mutation", problem if changed else "", next_step=step)


def _deterministic(view: FeatureView, source: pd.DataFrame, frame: pd.DataFrame) -> Finding:
    again = attempt(view, source.copy())
    if isinstance(again, Finding):
        return again
    step = "seed what is random; read neither the clock nor global state"
    found = difference(view, frame, again, tolerance=_SAME)
    return _told(view, "deterministic", found, "gives another result when called again", ("one call", "the next"), step)


def _row_order(view: FeatureView, source: pd.DataFrame, frame: pd.DataFrame) -> Finding:
    for order in (np.arange(len(source))[::-1], np.random.default_rng(1).permutation(len(source))):
        again = attempt(view, source.iloc[order].reset_index(drop=True))
        if isinstance(again, Finding):
            return again
        found = difference(view, frame, again, tolerance=_CLOSE)
        if found is not None:
            step = f"sort by {view.entity} and {view.timestamp} first; rows of one moment need a rule too"
            names = ("the source's order", "another order of its rows")
            return _told(view, "row-order", found, "depends on the order of the rows", names, step)
    return said(view, "row-order")


def _look_ahead(view: FeatureView, source: pd.DataFrame, frame: pd.DataFrame, time: str) -> tuple[Finding, ...]:
    for cut in _cuts(source[time]):
        past = attempt(view, source[source[time] <= cut].reset_index(drop=True))
        if isinstance(past, Finding):
            problem = f"cannot be computed from the rows until {cut} alone: {past.message}"
            return (said(view, "look-ahead", problem, next_step="let it work with a short history too"),)
        step = "let each row use rows of its own time and before only: no shift(-1), centred window or whole-table mean"
        found = _until(view, frame, past, cut)
        if found is not None:
            names = ("all rows", f"the rows until {cut}")
            return (_told(view, "look-ahead", found, "looks ahead: a later event changes an earlier row", names, step),)
    return (said(view, "look-ahead"),)


def _label_delay(
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
            return _told(view, "label-delay", found, problem, ("these labels", "other unknown labels"), step)
    return said(view, "label-delay")


def _turned(values: pd.Series, label: DelayedLabel) -> pd.Series:
    """Each value as another one of those that there are, of the same type."""
    other = dict(zip(label.values, reversed(label.values), strict=True))
    return values.map(lambda value: other.get(value, value)).astype(values.dtype)


def _until(view: FeatureView, frame: pd.DataFrame, other: object, cut: pd.Timestamp) -> Difference | None:
    import pandas as pd

    if not isinstance(other, pd.DataFrame) or view.timestamp not in other:
        return difference(view, frame, other, tolerance=_CLOSE)
    past = [f[f[view.timestamp] <= _alike(cut, f[view.timestamp])] for f in (frame, other)]
    return difference(view, past[0], past[1], tolerance=_CLOSE)


def _alike(cut: pd.Timestamp, times: pd.Series) -> pd.Timestamp:
    """The moment with or without a zone, as the column has it; without one it is UTC."""
    zone = getattr(times.dtype, "tz", None)
    if (zone is None) == (cut.tz is None):
        return cut
    return cut.tz_convert(None) if zone is None else cut.tz_localize("UTC")


def _cuts(times: pd.Series) -> list[pd.Timestamp]:
    known = times.dropna().sort_values(ignore_index=True)
    return list(dict.fromkeys(known.iloc[int(len(known) * share)] for share in _CUTS)) if len(known) else []


def _untimed(view: FeatureView) -> Finding:
    problem = f"reads the source {view.source!r}, which has no time, so a look ahead cannot be ruled out"
    return said(view, "look-ahead", problem, next_step=f"keep {view.timestamp} in the source under that name")


def _told(
    view: FeatureView, check: str, found: Difference | None, problem: str, names: tuple[str, str], step: str
) -> Finding:
    if found is None:
        return said(view, check)
    text = f"{problem}. {found.text.replace('{0}', names[0]).replace('{1}', names[1])} ({found.count} rows differ)"
    return said(view, check, text, next_step=step, rows=found.rows)


def _at(view: FeatureView, key: tuple[Any, Any]) -> str:
    return f"{view.entity} {key[0]} at {key[1]}"


def _entities(index: pd.Index[Any]) -> tuple[int | str, ...]:
    first = index.get_level_values(0)[:SHOWN].tolist()
    return tuple(v if isinstance(v, int | str) else str(v) for v in first)
