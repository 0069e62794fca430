"""Properties of an on-demand feature, tried on real rows: each value depends on its own row alone.

In training the function gets thousands of rows, at the request one; so a row's value must not depend on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.declare import OnDemand
from mlops.gates.features import said
from mlops.gates.properties import judge_clock
from mlops.gates.trying import raised
from mlops.statistics.kinds import kind_of
from mlops.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd

_ALONE = 20
_CLOSE = 1e-9


def judge_on_demand(one: OnDemand, inputs: Sequence[pd.Series]) -> tuple[Finding, ...]:
    """One finding for each property of `one` on `inputs`, Series of equal length in the declared order."""
    given = [values.copy() for values in inputs]
    result = _attempt(one, given)
    if isinstance(result, Finding):
        return (result,)
    shape = _shape(one, result, inputs[0])
    if shape.outcome is Outcome.FAIL:
        return (shape,)
    return (
        shape,
        _mutation(one, inputs, given),
        judge_clock(one),
        *_values(one, result, inputs),
        _deterministic(one, result, inputs),
        _row_wise(one, result, inputs),
        _missing(one, inputs),
    )


def _attempt(one: OnDemand, inputs: Sequence[pd.Series], when: str = "") -> Any:
    try:
        return one.function(*inputs)
    except Exception as error:  # noqa: BLE001 - the user's function may raise anything; it becomes a finding
        return raised(one, error, when)


def _shape(one: OnDemand, result: object, first: pd.Series) -> Finding:
    import pandas as pd

    step = "return one Series of numbers or strings, computed from the inputs without filtering or reordering"
    if not isinstance(result, pd.Series):
        return said(one, "columns", f"returned {type(result).__name__}, not a Series", next_step=step)
    if len(result) != len(first):
        return said(one, "columns", f"returned {len(result)} values for {len(first)} rows", next_step=step)
    if not result.index.equals(first.index):
        return said(one, "columns", "returned its values in another order or with another index", next_step=step)
    if kind_of(result) is None:
        return said(one, "columns", f"returned {result.dtype}, which no model reads", next_step=step)
    return said(one, "columns")


def _mutation(one: OnDemand, before: Sequence[pd.Series], after: Sequence[pd.Series]) -> Finding:
    touched = [name for name, a, b in zip(one.inputs, before, after, strict=True) if not a.equals(b)]
    problem = f"changes its input {', '.join(touched)}" if touched else ""
    return said(one, "mutation", problem, next_step="work on a copy: .copy(), .where(…), .clip(…)")


def _values(one: OnDemand, result: pd.Series, inputs: Sequence[pd.Series]) -> tuple[Finding, ...]:
    if result.isna().all() and not any(values.isna().all() for values in inputs):
        return (said(one, "values", "returned no value at all", next_step="look at its filters and its index"),)
    if kind_of(result) == "number":
        numbers = result.to_numpy(dtype="float64", na_value=np.nan)
        infinite = np.flatnonzero(np.isinf(numbers))
        if infinite.size:
            row = {name: values.iloc[int(infinite[0])] for name, values in zip(one.inputs, inputs, strict=True)}
            shown = ", ".join(f"{name} {value}" for name, value in row.items())
            step = "say what a division by zero means: divide by x.where(x > 0)"
            rows = [int(position) for position in infinite[:5]]
            problem = f"returned {infinite.size} infinite values, the first for {shown}"
            return (said(one, "values", problem, rows=rows, next_step=step),)
    if len(result) > 1 and len(result.drop_duplicates()) == 1:
        step = "a constant tells a model nothing"
        return (said(one, "constant", "returned the same value in every row", next_step=step, severity=Severity.WARN),)
    return (said(one, "values"),)


def _deterministic(one: OnDemand, result: pd.Series, inputs: Sequence[pd.Series]) -> Finding:
    again = _attempt(one, [values.copy() for values in inputs])
    if isinstance(again, Finding):
        return again
    problem = _difference(result, again, 0.0)
    step = "seed what is random; read neither the clock nor global state"
    return said(
        one, "deterministic", f"gives another result when called again: {problem}" if problem else "", next_step=step
    )


def _row_wise(one: OnDemand, result: pd.Series, inputs: Sequence[pd.Series]) -> Finding:
    count = len(result)
    positions = np.unique(np.linspace(0, count - 1, min(_ALONE, count)).astype(int))
    parts = [np.arange(count)[::-1], np.arange(count // 2 or 1), *(np.array([position]) for position in positions)]
    for part in parts:
        again = _attempt(one, [v.iloc[part].reset_index(drop=True) for v in inputs], f" for {len(part)} of the rows")
        if isinstance(again, Finding):
            return again
        problem = _difference(result.iloc[part].reset_index(drop=True), again, _CLOSE)
        if problem:
            step = "use no mean, rank or shift over rows: at the request there is one; store such a value in a view"
            return said(
                one, "row-wise", f"depends on other rows: among all and among {len(part)}, {problem}", next_step=step
            )
    return said(one, "row-wise")


def _missing(one: OnDemand, inputs: Sequence[pd.Series]) -> Finding:
    """A new customer has no stored values; the function must bear it."""
    stored = ["." in name for name in one.inputs]
    if not any(stored):
        return said(one, "missing")
    gone = [v.iloc[:1] if not s else v.iloc[:1].where(v.isna()) for v, s in zip(inputs, stored, strict=True)]
    answer = _attempt(one, gone, " where the stored features are missing, as for a new entity")
    return answer if isinstance(answer, Finding) else said(one, "missing")


def _difference(left: pd.Series, right: object, tolerance: float) -> str:
    import pandas as pd

    if not isinstance(right, pd.Series) or len(right) != len(left):
        return f"the result has another form, {type(right).__name__}"
    a, b = left.reset_index(drop=True), right.reset_index(drop=True)
    same = a.isna() & b.isna()
    if kind_of(a) == "number" and kind_of(b) == "number":
        x, y = (values.to_numpy(dtype="float64", na_value=np.nan) for values in (a, b))
        with np.errstate(invalid="ignore"):
            near = (x == y) | (np.abs(x - y) <= tolerance * np.maximum(np.abs(x), np.abs(y)))
    else:
        near = (a.astype(object) == b.astype(object)).to_numpy(dtype=bool)
    different = np.flatnonzero(~(same.to_numpy() | near))
    if not different.size:
        return ""
    position = int(different[0])
    return f"{a.tolist()[position]!r} became {b.tolist()[position]!r} ({different.size} rows differ)"
