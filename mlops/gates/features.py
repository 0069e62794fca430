"""Judges what a feature view returns: a frame with the declared columns, whole keys and usable values.

Findings name the view, its file and line, the rows, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlops.declare import Declared, FeatureView
from mlops.errors import nearest
from mlops.statistics.kinds import kind_of
from mlops.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 5


def said(
    declared: Declared,
    check: str,
    problem: str = "",
    *,
    next_step: str = "",
    rows: Sequence[int | str] = (),
    severity: Severity = Severity.FAIL,
) -> Finding:
    """A finding on a declared feature: a failure that states the problem, or a pass without one."""
    return Finding(
        check=f"features.{check}",
        outcome=Outcome.FAIL if problem else Outcome.PASS,
        message=f"{declared.origin}: {declared.name} {problem}" if problem else f"{declared.name}: {check} holds",
        severity=severity,
        subject=declared.name,
        rows=tuple(rows),
        next_step=next_step,
    )


def judge_shape(view: FeatureView, frame: object) -> tuple[Finding, ...]:
    """Whether a view's result can be stored at all; in the end one finding for each check that could look."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        problem = f"returned {type(frame).__name__}, not a DataFrame"
        return (said(view, "columns", problem, next_step="return a pandas DataFrame"),)
    columns = _columns(view, frame)
    if columns.outcome is Outcome.FAIL:
        return (columns,)
    keys = _keys(view, frame)
    if keys.outcome is Outcome.FAIL:
        return columns, keys
    return columns, keys, _duplicates(view, frame), *_values(view, frame)


def judge_part(view: FeatureView, frame: object) -> tuple[Finding, ...]:
    """The same of a part of a view's rows, which may be none, or have no value in a column."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame) or _columns(view, frame).outcome is Outcome.FAIL:
        return judge_shape(view, frame)
    if not len(frame):
        return (said(view, "keys"),)
    told = [name for name in frame.columns if name in view.keys or not frame[name].isna().all()]
    keys = _keys(view, frame)
    if keys.outcome is Outcome.FAIL:
        return (keys,)
    return _columns(view, frame), keys, _duplicates(view, frame), *_values(view, frame[told])


def judge_origin(view: FeatureView, frame: pd.DataFrame, source: pd.DataFrame) -> tuple[Finding, ...]:
    """Whether entities and times are the source's own, not those of another column or time zone."""
    import pandas as pd

    findings = []
    if view.entity in source:
        strange = frame.loc[~frame[view.entity].isin(source[view.entity]), view.entity]
        problem = (
            f"returned {len(strange)} rows for values of {view.entity} that the source does not have"
            if len(strange)
            else ""
        )
        step = f"take {view.entity} from the column of that name"
        findings.append(said(view, "entities", problem, rows=_shown(strange), next_step=step))
    for name in view.keys[1:]:
        if name not in source:
            continue
        mine, theirs = (isinstance(f[name].dtype, pd.DatetimeTZDtype) for f in (frame, source))
        problem = (
            f"returned {name} {'with' if mine else 'without'} a time zone, the source has it "
            f"{'with' if theirs else 'without'} one"
            if mine != theirs
            else ""
        )
        step = f"return the source's {name} as it is, or convert it to UTC"
        findings.append(said(view, "time-zone", problem, next_step=step))
    return tuple(findings)


def _columns(view: FeatureView, frame: pd.DataFrame) -> Finding:
    names = list(frame.columns)
    wanted = [*view.keys, *view.columns]
    missing = [name for name in wanted if name not in names]
    if missing:
        hint = nearest(missing[0], [str(n) for n in names])
        step = f"return it, or change the declaration; {hint}"
        if missing[0] in frame.index.names:
            step = "it is in the index: end with .reset_index()"
        return said(view, "columns", f"did not return the column {_listed(missing)}", next_step=step)
    misnamed = _misnamed(view, names)
    if misnamed is not None:
        return misnamed
    extra = [name for name in names if name not in wanted] if view.columns else []
    if extra:
        step = f"select the declared columns at the end, or add {_listed(extra)} to columns={{…}}"
        return said(view, "columns", f"returned {_listed(extra)}, which it does not declare", next_step=step)
    if len(names) <= len(set(view.keys)):
        return said(view, "columns", "returned no feature, only its keys", next_step="return a column for each feature")
    return said(view, "columns")


def _misnamed(view: FeatureView, names: Sequence[object]) -> Finding | None:
    odd = [name for name in names if not isinstance(name, str)]
    if odd:
        problem = f"returned a column called {odd[0]!r}, which is no text"
        return said(view, "columns", problem, next_step="name its columns; after a pivot: .rename(columns=str)")
    double = sorted({str(name) for name in names if names.count(name) > 1})
    if double:
        return said(view, "columns", f"returned {_listed(double)} more than once", next_step="drop one of them")
    folded = [str(name).casefold() for name in names]
    alike = [name for name, fold in zip(names, folded, strict=True) if folded.count(fold) > 1]
    if alike:
        problem = f"returned columns that differ only in upper and lower case: {_listed(alike)}"
        return said(view, "columns", problem, next_step="databases take them for one: give one another name")
    return None


def _keys(view: FeatureView, frame: pd.DataFrame) -> Finding:
    import pandas as pd

    if not len(frame):
        return said(view, "keys", "returned no rows", next_step="look at its filters and joins")
    for name in view.keys:
        missing = np.flatnonzero(frame[name].isna().to_numpy())
        if missing.size:
            step = f"drop them: .dropna(subset=[{name!r}])"
            rows = [int(row) for row in missing[:SHOWN]]
            return said(view, "keys", f"returned {missing.size} rows without {name}", rows=rows, next_step=step)
    if kind_of(frame[view.entity]) is None:
        problem = f"returned {view.entity} as {frame[view.entity].dtype}, not as whole numbers or text"
        return said(view, "keys", problem, next_step=f"return the source's {view.entity} as it is")
    for name in view.keys[1:]:
        if not pd.api.types.is_datetime64_any_dtype(frame[name]):
            problem = f"returned {name} as {frame[name].dtype}, not as a time"
            return said(view, "keys", problem, next_step=f"return the source's {name}, or use pd.to_datetime")
    return said(view, "keys")


def _duplicates(view: FeatureView, frame: pd.DataFrame) -> Finding:
    keys = list(view.keys)
    double = frame.loc[frame.duplicated(keys, keep="first"), keys]
    if double.empty:
        return said(view, "duplicates")
    first = double.iloc[0]
    problem = (
        f"returned {len(double)} rows more than once for the same {' and '.join(keys)}, "
        f"the first for {view.entity} {first[view.entity]} at {first[view.timestamp]}"
    )
    step = f"return one row for each: aggregate, or .drop_duplicates({keys!r}, keep='last') after sorting"
    return said(view, "duplicates", problem, rows=_shown(double[view.entity]), next_step=step)


def _values(view: FeatureView, frame: pd.DataFrame) -> Iterator[Finding]:
    problems: list[Finding] = []
    for name in frame.columns:
        if name not in view.keys:
            problems += _value_problems(view, str(name), frame[name], frame[view.entity])
    yield from problems
    if not any(p.severity is Severity.FAIL for p in problems):
        yield said(view, "values")


def _value_problems(view: FeatureView, name: str, values: pd.Series, entity: pd.Series) -> list[Finding]:
    import pandas as pd

    kind = kind_of(values)
    if kind is None:
        step = "return a number or a string: for a time, the seconds since an earlier one"
        return [said(view, "values", f"returned {name} as {values.dtype}, which no model reads", next_step=step)]
    if values.isna().all():
        step = "look at its joins and its index: pandas aligns by index, not by position"
        return [said(view, "values", f"returned no value at all in {name}", next_step=step)]
    if kind == "number":
        infinite = np.isinf(pd.to_numeric(values).to_numpy(dtype="float64", na_value=np.nan))
        if infinite.any():
            problem = f"returned {int(infinite.sum())} infinite values in {name}"
            step = "say what a division by zero means: divide by x.where(x > 0)"
            return [said(view, "values", problem, rows=_shown(entity[infinite]), next_step=step)]
    if len(values) > 1 and len(values.drop_duplicates()) == 1:
        problem = f"returned the same value, {values.tolist()[0]!r}, in every row of {name}"
        step = "a constant tells a model nothing; look whether a filter is too narrow"
        return [said(view, "constant", problem, next_step=step, severity=Severity.WARN)]
    return []


def _shown(values: pd.Series) -> tuple[int | str, ...]:
    return tuple(v if isinstance(v, int | str) else str(v) for v in values.head(SHOWN).tolist())


def _listed(names: Sequence[object]) -> str:
    return ", ".join(repr(str(name)) for name in names)
