"""Judges a table against its committed schema: every kind of skew is a finding with column, value and rows.

The document is pandera's; the common constraints are checked here in one vectorised pass, because pandera's own
validation needs a Python object per failing cell (a column of a million wrong values takes it minutes). What
this file does not know is left to pandera, and its answers come back as `constraint_findings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.verdict import Finding, Outcome

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5
_BOUNDS = {
    "greater_than_or_equal_to": (">=", np.less),
    "ge": (">=", np.less),
    "greater_than": (">", np.less_equal),
    "gt": (">", np.less_equal),
    "less_than_or_equal_to": ("<=", np.greater),
    "le": ("<=", np.greater),
    "less_than": ("<", np.greater_equal),
    "lt": ("<", np.greater_equal),
}
_OURS = {*_BOUNDS, "in_range", "isin"}
_ATTRIBUTES = {
    *("name", "title", "description", "dtype", "nullable", "checks", "unique", "coerce", "required", "regex"),
    *("default", "report_duplicates", "drop_invalid_rows", "metadata"),
}
_MORE_MISSING = 0.3  # so much more of a column's rows may be missing than when the schema was written
_MOSTLY_MISSING = 0.5  # above this share nothing is promised


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What one column must be. `checks` maps pandera's names to their statistics."""

    dtype: str = ""
    nullable: bool = False
    required: bool = True
    unique: bool = False
    checks: Mapping[str, Any] = field(default_factory=dict)

    @property
    def foreign(self) -> bool:
        """Whether pandera has to check something here that this file does not know."""
        return any(name not in _OURS for name in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A parsed document: columns, keys over several columns, columns in rising order, shares of missing values."""

    columns: Mapping[str, Column]
    strict: bool = True
    unique: tuple[str, ...] = ()
    increasing: tuple[str, ...] = ()
    missing: Mapping[str, float] = field(default_factory=dict)
    foreign: bool = False

    @property
    def key(self) -> str | None:
        """The one column that is a unique key, if there is exactly one."""
        keys = [name for name, column in self.columns.items() if column.unique]
        return keys[0] if len(keys) == 1 else None


def parse(document: Mapping[str, Any]) -> Schema:
    """The schema of a pandera document; ValueError says what is wrong with it."""
    columns = document.get("columns")
    if not isinstance(columns, Mapping) or not columns:
        raise ValueError("it names no columns")
    parsed = {str(name): _column(str(name), given or {}) for name, given in columns.items()}
    metadata = document.get("metadata") or {}
    unique = document.get("unique") or ()
    return Schema(
        columns=parsed,
        strict=bool(document.get("strict", False)),
        unique=(unique,) if isinstance(unique, str) else tuple(unique),
        increasing=tuple(metadata.get("increasing") or ()),
        missing={str(k): float(v) for k, v in (metadata.get("missing") or {}).items()},
        foreign=bool(document.get("checks")) or any(column.foreign for column in parsed.values()),
    )


def judge(schema: Schema, frame: pd.DataFrame, *, source: str) -> tuple[Finding, ...]:
    """Findings on every column of the schema and of `frame`, and one that says what was looked at."""
    if not len(frame):
        return (_found("empty", source, "the table has no rows", "look at the source's path, filters and query"),)
    expected, present = set(schema.columns), set(frame.columns)
    update = f"if that is meant, `mlops schema {source} --update`, and review the diff"
    findings = [
        _found("column", name, f"the column {name!r} is missing", f"put it back at the source, or {update}")
        for name in schema.columns
        if name not in present and schema.columns[name].required
    ]
    if schema.strict:
        findings += [
            _found("unexpected", str(name), f"the column {name!r} is not in the schema", f"drop it, or {update}")
            for name in frame.columns
            if name not in expected
        ]
    for name, column in schema.columns.items():
        if name in present:
            findings += _judge_column(name, column, frame[name], schema, update)
    findings += _judge_table(schema, frame, update)
    kinds = ("column", "unexpected", "type", "presence", "category", "range", "unique", "order", "empty")
    fired = {finding.check for finding in findings}
    return (*findings, *(_passed(kind, source, schema, frame) for kind in kinds if f"schema.{kind}" not in fired))


def constraint_findings(failures: Iterable[tuple[str, str, int, tuple[Any, ...]]], *, rows: int) -> tuple[Finding, ...]:
    """Findings from pandera's own failures: column ("" for the whole table), check, number and first rows."""
    return tuple(
        _found(
            "constraint",
            column,
            f"{f'column {column!r}' if column else 'the table'} breaks {check} in {count:,} of {rows:,} rows",
            "look at the rows named, or change the constraint in the schema",
            n=rows,
            measured=count / rows if rows else None,
            rows=first,
        )
        for column, check, count, first in failures
    )


def no_file(source: str, path: str) -> Finding:
    """The finding for a source without a schema: nothing can be called skew, so the gate stays shut."""
    return Finding(
        check="schema.file",
        outcome=Outcome.NOT_RUN,
        subject=source,
        message=f"there is no schema for {source!r} at {path}",
        next_step=f"write one from today's data with `mlops schema {source} --update`, read it, and commit it",
    )


def bad_file(source: str, path: str, reason: str) -> Finding:
    """The finding for a schema file that says nothing that can be understood."""
    return Finding(
        check="schema.file",
        outcome=Outcome.NOT_RUN,
        subject=source,
        message=f"{path} is not a schema: {reason}",
        next_step=f"mend the file, or write it anew with `mlops schema {source} --update`",
    )


def _column(name: str, given: Mapping[str, Any]) -> Column:
    if not isinstance(given, Mapping):
        raise ValueError(f"column {name!r} is not a table of settings")  # noqa: TRY004  a file's fault
    flat = {key: value for key, value in given.items() if key not in _ATTRIBUTES}
    checks = given.get("checks") or {}
    if isinstance(checks, list):  # pandera's form with options: [{"value": …, "options": {"check_name": …}}]
        listed = {}
        for check in checks:
            options = check.get("options", {})
            rest = {key: value for key, value in check.items() if key != "options"}
            listed[str(options.get("check_name"))] = rest.get("value", rest)
        checks = listed
    return Column(
        dtype=str(given.get("dtype") or ""),
        nullable=bool(given.get("nullable", False)),
        required=bool(given.get("required", True)),
        unique=bool(given.get("unique", False)),
        checks={**flat, **checks},
    )


def _judge_column(name: str, column: Column, values: pd.Series, schema: Schema, update: str) -> list[Finding]:
    missing = values.isna().to_numpy()
    found = _judge_presence(name, column, missing, schema, update)
    if missing.all():
        return found
    problem = _type_problem(column, values, missing)
    if problem:
        return [*found, _type_finding(name, values, missing, problem, update)]
    for check, statistics in column.checks.items():
        if check == "isin":
            found += _judge_categories(name, statistics, values, missing, update)
        elif check in _OURS:
            found += _judge_bounds(name, check, statistics, values, missing, update)
    if column.unique and bool((again := values.duplicated().to_numpy() & ~missing).any()):
        found.append(_of_rows("unique", name, f"the key {name!r} repeats", again, values, update))
    return found


def _judge_presence(name: str, column: Column, missing: np.ndarray, schema: Schema, update: str) -> list[Finding]:
    share = float(missing.mean())
    usual = schema.missing.get(name, 0.0)
    if not column.nullable:
        threshold = 0.0
    elif usual < _MOSTLY_MISSING and name in schema.missing:
        threshold = usual + _MORE_MISSING
    else:
        return []
    if share <= threshold:
        return []
    before = "never was" if not column.nullable else f"was {usual:.1%} when the schema was written"
    return [
        _found(
            "presence",
            name,
            f"{name!r}: {int(missing.sum()):,} of {missing.size:,} values are missing ({share:.1%}); this {before}",
            f"look at the rows named, or {update}",
            n=missing.size,
            measured=share,
            threshold=threshold,
            rows=_first(missing),
        )
    ]


def _type_problem(column: Column, values: pd.Series, missing: np.ndarray) -> str:
    """What the values are instead of what they should be; "" when they fit."""
    import pandas as pd

    wanted, dtype = _kind(column.dtype), values.dtype
    if wanted == "":
        return ""
    inferred = pd.api.types.infer_dtype(values[~missing], skipna=True) if dtype.kind == "O" else ""
    if pd.api.types.is_bool_dtype(dtype) or inferred == "boolean":
        actual = "bool"
    elif pd.api.types.is_numeric_dtype(dtype):
        actual = "float"
        if pd.api.types.is_integer_dtype(dtype) or bool((values[~missing] % 1 == 0).all()):
            actual = "int"
    elif getattr(dtype, "kind", "") == "M":
        actual = "time"
    else:
        actual = "text"
    fits = wanted == actual or (wanted == "float" and actual == "int")
    return "" if fits else f"holds {_WORDS[actual]} where the schema says {_WORDS[wanted]}"


_WORDS = {"bool": "true and false", "float": "numbers", "int": "whole numbers", "time": "times", "text": "text"}


def _kind(dtype: str) -> str:
    lowered = dtype.lower()
    for start, kind in (("bool", "bool"), ("int", "int"), ("uint", "int"), ("float", "float"), ("datetime", "time")):
        if lowered.startswith(start):
            return kind
    return "text" if lowered.startswith(("str", "object", "category")) else ""


def _type_finding(name: str, values: pd.Series, missing: np.ndarray, problem: str, update: str) -> Finding:
    import pandas as pd

    wrong = ~missing
    if values.dtype == object or not pd.api.types.is_numeric_dtype(values.dtype):
        numbers = pd.to_numeric(values, errors="coerce").isna().to_numpy() if _is_text(values) else missing
        wrong = (numbers & ~missing) if (numbers & ~missing).any() else wrong
    else:
        whole = (values % 1 == 0).to_numpy()
        wrong = (~whole & ~missing) if (~whole & ~missing).any() else wrong
    return _of_rows("type", name, f"column {name!r} {problem}", wrong, values, update)


def _is_text(values: pd.Series) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_string_dtype(values.dtype) or values.dtype == object)


def _judge_categories(name: str, allowed: Any, values: pd.Series, missing: np.ndarray, update: str) -> list[Finding]:
    listed = allowed.get("allowed_values", allowed) if isinstance(allowed, Mapping) else allowed
    text = _is_text(values)
    known = {str(value) for value in listed} if text else set(listed)
    distinct = values[~missing].unique()
    strange = [value for value in distinct if (str(value) if text else value) not in known]
    if not strange:
        return []
    rows = values.isin(strange).to_numpy()
    return [
        _of_rows("category", name, f"column {name!r} holds values that the schema does not list", rows, values, update)
    ]


def _judge_bounds(
    name: str, check: str, statistics: Any, values: pd.Series, missing: np.ndarray, update: str
) -> list[Finding]:
    numbers = values.to_numpy(dtype=np.float64) if getattr(values.dtype, "kind", "O") in "iufb" else None
    if numbers is None:
        return []
    limits = [_BOUNDS[check]] if check in _BOUNDS else []
    bounds = (
        [
            (
                limits[0],
                statistics.get("value", next(iter(statistics.values())))
                if isinstance(statistics, Mapping)
                else statistics,
            )
        ]
        if limits
        else _range(statistics)
    )
    found = []
    for (sign, breaks), bound in bounds:
        wrong = breaks(numbers, float(bound)) & ~missing
        if wrong.any():
            message = f"column {name!r} is not {sign} {bound:g}"
            found.append(_of_rows("range", name, message, wrong, values, update, threshold=float(bound)))
    return found


def _range(statistics: Mapping[str, Any]) -> list[tuple[tuple[str, np.ufunc], float]]:
    low = "ge" if statistics.get("include_min", True) else "gt"
    high = "le" if statistics.get("include_max", True) else "lt"
    return [(_BOUNDS[low], statistics["min_value"]), (_BOUNDS[high], statistics["max_value"])]


def _judge_table(schema: Schema, frame: pd.DataFrame, update: str) -> list[Finding]:
    found = []
    names = [name for name in schema.unique if name in frame]
    if names and bool((again := frame.duplicated(names).to_numpy()).any()):
        key = ", ".join(names)
        found.append(_of_rows("unique", key, f"the key ({key}) repeats", again, frame[names[0]], update))
    for name in schema.increasing:
        if name in frame and getattr(frame[name].dtype, "kind", "") == "M":
            backwards = (frame[name].diff() < np.timedelta64(0)).to_numpy()
            if backwards.any():
                message = f"time runs backwards in {name!r}"
                found.append(_of_rows("order", name, message, backwards, frame[name], update))
    return found


def _of_rows(
    kind: str,
    name: str,
    message: str,
    wrong: np.ndarray,
    values: pd.Series,
    update: str,
    threshold: float | None = None,
) -> Finding:
    shown = list(dict.fromkeys(str(value)[:40] for value in values[wrong].iloc[:200]))[:_SHOWN]
    count = int(wrong.sum())
    return _found(
        kind,
        name,
        f"{message} in {count:,} of {wrong.size:,} rows, such as {', '.join(map(repr, shown))}",
        f"mend it at the source, or {update}",
        n=wrong.size,
        measured=count / wrong.size,
        threshold=threshold,
        rows=_first(wrong),
    )


def _first(wrong: np.ndarray) -> tuple[int, ...]:
    return tuple(int(row) for row in np.flatnonzero(wrong)[:_SHOWN])


def _found(kind: str, subject: str, message: str, next_step: str, **evidence: Any) -> Finding:
    return Finding(
        check=f"schema.{kind}", outcome=Outcome.FAIL, subject=subject, message=message, next_step=next_step, **evidence
    )


def _passed(kind: str, source: str, schema: Schema, frame: pd.DataFrame) -> Finding:
    said = {
        "column": f"all {len(schema.columns)} columns are there",
        "unexpected": "no other column" if schema.strict else "other columns are allowed",
        "type": "every column has its type",
        "presence": "no more values are missing than usual",
        "category": "no value that is not listed",
        "range": "every number is in its range",
        "unique": "no key repeats",
        "order": "time does not run backwards",
        "empty": f"{len(frame):,} rows",
    }[kind]
    return Finding(check=f"schema.{kind}", outcome=Outcome.PASS, subject=source, message=said, n=len(frame))
