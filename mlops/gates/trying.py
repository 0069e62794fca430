"""Calls a feature view, and tells where two of its results differ, row by row."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.declare import Declared, FeatureView
from mlops.gates.features import SHOWN, said
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

SAME, CLOSE = 1e-12, 1e-7  # relative: of one computation, of one that sums in another order

_HALVES = 0.005
"""The share of rows in which a value that is rounded may fall on the other side of a half, summed in another order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where two results of a view part: in words, and the entities of the first rows."""

    text: str
    rows: tuple[int | str, ...]
    count: int


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


def difference(
    view: FeatureView, left: pd.DataFrame, right: object, *, tolerance: float, halves: float = _HALVES
) -> Difference | None:
    """The first difference of two results by entity and time; None where they are equal.

    `halves` is the share of rows in which a rounded value may fall on the other side of a half.
    """
    import pandas as pd

    keys = list(view.keys)
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
        different = np.flatnonzero(_different(a[name], b[name], tolerance, halves))
        if different.size:
            first = int(different[0])
            values = [frame[name].iloc[[first]].tolist()[0] for frame in (a, b)]
            text = f"{_at(view, a.index[first])}: {name} is {values[0]!r} with {{0}}, {values[1]!r} with {{1}}"
            return Difference(text=text, rows=_entities(a.index[different]), count=int(different.size))
    return None


def _different(left: pd.Series, right: pd.Series, tolerance: float, halves: float) -> np.ndarray[Any, Any]:
    import pandas as pd

    missing_left, missing_right = left.isna().to_numpy(), right.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(left) and pd.api.types.is_numeric_dtype(right):
        x, y = (values.to_numpy(dtype="float64", na_value=np.nan) for values in (left, right))
        largest = np.abs(x[np.isfinite(x)]).max(initial=0.0)
        with np.errstate(invalid="ignore"):
            near = (x == y) | (np.abs(x - y) <= tolerance * np.abs(x) + tolerance * 1e-2 * largest)
        if tolerance >= CLOSE:
            near |= _on_a_half(x, y, halves)
    else:
        near = (left.astype(object) == right.astype(object)).to_numpy(dtype=bool)
    return ~np.where(missing_left | missing_right, missing_left & missing_right, near)


def _on_a_half(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], halves: float) -> np.ndarray[Any, Any]:
    """Where values that are all rounded to some decimals are one unit of the last apart, if that is rare."""
    nothing = np.zeros(len(x), dtype=bool)
    values = np.concatenate([x, y])
    values = values[np.isfinite(values)]
    places = next((p for p in range(7) if np.array_equal(values, values.round(p))), 0)
    if not places:  # counts are exact in any order
        return nothing
    with np.errstate(invalid="ignore"):
        apart = (x != y) & (np.abs(x - y) <= 1.01 * 10.0**-places)
    return apart if apart.sum() <= max(1, halves * len(x)) else nothing


def told(
    view: FeatureView, check: str, found: Difference | None, problem: str, names: tuple[str, str], step: str
) -> Finding:
    """A pass, or the finding that `problem` is shown by a difference between the results called `names`."""
    if found is None:
        return said(view, check)
    text = f"{problem}. {found.text.replace('{0}', names[0]).replace('{1}', names[1])} ({found.count} rows differ)"
    return said(view, check, text, next_step=step, rows=found.rows)


def _at(view: FeatureView, key: tuple[Any, Any]) -> str:
    return f"{view.entity} {key[0]} at {key[1]}"


def _entities(index: pd.Index[Any]) -> tuple[int | str, ...]:
    first = index.get_level_values(0)[:SHOWN].tolist()
    return tuple(v if isinstance(v, int | str) else str(v) for v in first)
