"""Properties that every feature view must have, tried on real rows: the view is a pure function of the past.

Called again it gives the same; the order of rows does not matter; a later event never changes an earlier row, nor does
a row that became known later one that was known before; a label that is not known yet is not read; the given frame is
left alone. And it can be computed in parts: by entity, and by the `window` that it declares.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlops import syntax
from mlops.declare import Declared, FeatureView
from mlops.gates.features import judge_origin, judge_shape, said
from mlops.gates.look_ahead import DelayedLabel, known_ahead, label_delay, look_ahead, untimed
from mlops.gates.separable import separable, window
from mlops.gates.trying import CLOSE, SAME, attempt, difference, told
from mlops.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd

ROWS, ROWS_EACH = 2000, 100
_CLOCK = ("now", "today", "utcnow")


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
        *(look_ahead(view, source, frame, time) if time else (untimed(view, view.timestamp),)),
        *known_ahead(view, source, frame),
        separable(view, source, frame),
        *filter(None, [window(view, source, frame, time)]),
        *(label_delay(view, source, frame, time, label) for label in labels if time),
    )


def judge_elsewhere(view: FeatureView, here: pd.DataFrame, elsewhere: pd.DataFrame | None, error: str = "") -> Finding:
    """Whether another process, in which strings hash otherwise, computes the same from the same rows."""
    step = "sort what comes from a set or dict; take no state from outside the function"
    if elsewhere is None:
        return said(view, "other-process", f"raised in another process: {error or 'no result'}", next_step=step)
    found = difference(view, here, elsewhere, tolerance=CLOSE)
    return told(view, "other-process", found, "differs in another process", ("here", "there"), step)


def judge_clock(declared: Declared) -> Finding:
    """Whether the function's own code asks for the present time, which is another one at training and serving."""
    import inspect

    try:
        tree = syntax.parse(textwrap.dedent(inspect.getsource(declared.function)))
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
    found = difference(view, frame, again, tolerance=SAME)
    return told(view, "deterministic", found, "gives another result when called again", ("one call", "the next"), step)


def _row_order(view: FeatureView, source: pd.DataFrame, frame: pd.DataFrame) -> Finding:
    for order in (np.arange(len(source))[::-1], np.random.default_rng(1).permutation(len(source))):
        again = attempt(view, source.iloc[order].reset_index(drop=True))
        if isinstance(again, Finding):
            return again
        found = difference(view, frame, again, tolerance=CLOSE)
        if found is not None:
            step = f"sort by {view.entity} and {view.timestamp} first; rows of one moment need a rule too"
            names = ("the source's order", "another order of its rows")
            return told(view, "row-order", found, "depends on the order of the rows", names, step)
    return said(view, "row-order")
