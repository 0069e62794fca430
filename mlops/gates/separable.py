"""Tries whether a feature view can be computed in parts: by entity, and by time where it declares a `window`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from mlops.declare import FeatureView
from mlops.gates.features import said
from mlops.gates.trying import CLOSE, Difference, attempt, difference, told
from mlops.verdict import Finding, Severity

if TYPE_CHECKING:
    import pandas as pd

_CUTS = (0.25, 0.5, 0.65, 0.8, 0.9, 0.97)
_HOUR = timedelta(hours=1)
_HALVES = 0.2
"""A running sum that begins elsewhere ends a last bit apart, and every second mean of two amounts lies on a half.

What looks back further differs by more than the last decimal in some rows, and these are not let pass.
"""


def separable(view: FeatureView, source: pd.DataFrame, frame: pd.DataFrame) -> Finding:
    """A warning where rows of other entities change a row: such a view needs its whole source in memory at once."""
    import pandas as pd

    step = "nothing, if it is meant so; else group by the entity, and take no mean, rank or count over the whole table"
    if view.entity not in source:
        problem = f"cannot be cut by entity: the source has no column {view.entity!r}; it is computed whole"
        return said(view, "separable", problem, next_step=f"keep {view.entity} in it", severity=Severity.WARN)
    half = _half(source[view.entity])
    parts = [attempt(view, source[side].reset_index(drop=True)) for side in (half, ~half) if side.any()]
    apart = [part for part in parts if not isinstance(part, Finding)]
    if len(apart) < len(parts):
        problem = "cannot be computed from some of the entities alone; it is computed whole"
        return said(view, "separable", problem, next_step=step, severity=Severity.WARN)
    found = difference(view, frame, pd.concat(apart, ignore_index=True), tolerance=CLOSE)
    if found is None:
        return said(view, "separable")
    text = found.text.replace("{0}", "all entities").replace("{1}", "half of them")
    problem = f"reads the rows of other entities, so it is computed whole. {text} ({found.count} rows differ)"
    return said(view, "separable", problem, next_step=step, rows=found.rows, severity=Severity.WARN)


def window(view: FeatureView, source: pd.DataFrame, frame: pd.DataFrame, time: str | None) -> Finding | None:
    """Whether rows are the same when those older than the declared window are cut away; None without a window."""
    if view.window is None or time is None:
        return None
    found = _changed(view, source, frame, time, view.window)
    if found is None:
        return said(view, "window")
    least = _least(view, source, frame, time)
    doing = f'declare window="{_written(least)}" or more: the smallest that does for these rows' if least else ""
    step = doing or "leave window out: it reads the whole past of an entity"
    problem = f"looks back further than its window of {_written(view.window)}"
    return told(view, "window", found, problem, ("the whole past", "the window's rows"), step)


def _half(entities: pd.Series) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Every second entity, by value."""
    import pandas as pd

    codes, _ = pd.factorize(entities, sort=True)
    return np.equal(codes % 2, 0)


def _changed(
    view: FeatureView, source: pd.DataFrame, frame: pd.DataFrame, time: str, length: timedelta
) -> Difference | None:
    """The first difference of rows from a moment on, when the rows older than `length` before it are cut away."""
    at = frame[view.timestamp]
    known = at.dropna().sort_values(ignore_index=True)
    for cut in dict.fromkeys(known.iloc[int(len(known) * share)] for share in _CUTS if len(known)):
        young = source[time].isna() | (source[time] >= _as(cut - length, source[time]))
        again = attempt(view, source[young].reset_index(drop=True))
        if isinstance(again, Finding):
            return Difference(text=again.message, rows=(), count=int((at >= cut).sum()))
        later = again[again[view.timestamp] >= cut] if view.timestamp in again else again
        found = difference(view, frame[at >= cut], later, tolerance=CLOSE, halves=_HALVES)
        if found is not None:
            return found
    return None


def _least(view: FeatureView, source: pd.DataFrame, frame: pd.DataFrame, time: str) -> timedelta | None:
    """The smallest window, in days or below two of them in hours, that would do on these rows; None: none does."""
    span = source[time].max() - source[time].min()
    unit = _HOUR if _changed(view, source, frame, time, 48 * _HOUR) is None else 24 * _HOUR
    low, high = 0, int(span / unit) + 1
    # What looks back nearly as far as the rows reach looks back for ever, as far as they can tell.
    if _changed(view, source, frame, time, 0.9 * span.to_pytimedelta()) is not None:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _changed(view, source, frame, time, middle * unit) is None else (middle, high)
    return high * unit


def _as(moment: pd.Timestamp, times: pd.Series) -> pd.Timestamp:
    """The moment with or without a zone, as the column has it; without one it is UTC."""
    zone = getattr(times.dtype, "tz", None)
    if (zone is None) == (moment.tz is None):
        return moment
    return moment.tz_convert(None) if zone is None else moment.tz_localize("UTC")


def _written(length: timedelta) -> str:
    """As a declaration has it: "7d", "36h"."""
    hours = length / _HOUR
    for count, unit in ((hours / 24, "d"), (hours, "h"), (hours * 60, "m"), (hours * 3600, "s")):
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{hours * 3600:g}s"
