"""A committed schema as values: what pandera's document says, and where in the file it says it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops.adapters import expressions
from mlops.facts import LEVELS, Kind, Test

BOUNDS: dict[str, tuple[str, Test]] = {
    "greater_than_or_equal_to": (">=", "below"),
    "ge": (">=", "below"),
    "greater_than": (">", "not above"),
    "gt": (">", "not above"),
    "less_than_or_equal_to": ("<=", "above"),
    "le": ("<=", "above"),
    "less_than": ("<", "not below"),
    "lt": ("<", "not below"),
}
_OURS = {*BOUNDS, "in_range", "isin"}
_ATTRIBUTES = {
    *("name", "title", "description", "dtype", "nullable", "checks", "unique", "coerce", "required", "regex"),
    *("default", "report_duplicates", "drop_invalid_rows", "metadata"),
}
_KINDS: tuple[tuple[str, Kind], ...] = (
    *(("bool", "bool"), ("int", "int"), ("uint", "int"), ("float", "float"), ("datetime", "time")),
    *(("str", "text"), ("object", "text"), ("category", "text")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What one column must be. `checks` maps pandera's names to their statistics."""

    dtype: str = ""
    nullable: bool = False
    required: bool = True
    unique: bool = False
    checks: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> Kind | None:
        """The kind that the dtype names; None where it names none of ours."""
        lowered = self.dtype.lower()
        return next((kind for start, kind in _KINDS if lowered.startswith(start)), None)

    @property
    def foreign(self) -> bool:
        """Whether pandera has to check something here: what we do not know, and the order of words."""
        words = self.kind == "text" and any(name in BOUNDS or name == "in_range" for name in self.checks)
        return words or any(name not in _OURS for name in self.checks)

    @property
    def bounds(self) -> tuple[tuple[str, str, Test, Any], ...]:
        """Each bound: the check that holds it, its sign, what breaks it, its value."""
        found: list[tuple[str, str, Test, Any]] = []
        for check, given in self.checks.items():
            if check in BOUNDS:
                value = given.get("value", next(iter(given.values()))) if isinstance(given, Mapping) else given
                found.append((check, *BOUNDS[check], value))
            elif check == "in_range":
                low = "ge" if given.get("include_min", True) else "gt"
                high = "le" if given.get("include_max", True) else "lt"
                found.append((check, *BOUNDS[low], given["min_value"]))
                found.append((check, *BOUNDS[high], given["max_value"]))
        return tuple(found)

    @property
    def listed(self) -> tuple[Any, ...] | None:
        """The values that are allowed; None where any is."""
        given = self.checks.get("isin")
        values = given.get("allowed_values", given) if isinstance(given, Mapping) else given
        return None if values is None else tuple(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A parsed document: columns, keys over several columns, and what its metadata says of honest tables.

    `increasing` are columns in rising order, `missing` the usual shares of missing values, `scales` quantiles by which
    another unit is told, `constraints` expressions that hold in every row, `garbled` columns whose letters were broken
    already. `file` and `lines` say where in the file a value stands.
    """

    columns: Mapping[str, Column]
    strict: bool = True
    unique: tuple[str, ...] = ()
    increasing: tuple[str, ...] = ()
    missing: Mapping[str, float] = field(default_factory=dict)
    scales: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    constraints: tuple[str, ...] = ()
    garbled: tuple[str, ...] = ()
    foreign: bool = False
    file: str = ""
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str | None:
        """The one column that is a unique key, if there is exactly one."""
        keys = [name for name, column in self.columns.items() if column.unique]
        return keys[0] if len(keys) == 1 else None

    def place(self, *path: str) -> str:
        """Where the value at `path`, or what is nearest around it, stands: `features/sales.schema.yaml:28`."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.file}:{self.lines[path]}" if path and self.file else self.file


def parse(document: Mapping[str, Any], *, file: str = "", lines: Mapping[tuple[str, ...], int] | None = None) -> Schema:
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
        scales={str(k): _scale(str(k), v) for k, v in (metadata.get("scales") or {}).items()},
        constraints=_constraints(metadata.get("constraints") or (), parsed),
        garbled=tuple(metadata.get("garbled") or ()),
        foreign=bool(document.get("checks")) or any(column.foreign for column in parsed.values()),
        file=file,
        lines=lines or {},
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
    column = Column(
        dtype=str(given.get("dtype") or ""),
        nullable=bool(given.get("nullable", False)),
        required=bool(given.get("required", True)),
        unique=bool(given.get("unique", False)),
        checks={**flat, **checks},
    )
    if column.kind != "text":
        _demand_bounds(name, column)
    return column


def _demand_bounds(name: str, column: Column) -> None:
    """Raise ValueError where a bound is no number and no time: compared with it, everything would pass."""
    times = (dt.date, str)
    try:
        bounds = column.bounds
    except (KeyError, AttributeError, StopIteration):
        raise ValueError(f"column {name!r}: a range needs min_value and max_value, a bound its value") from None
    for check, _, _, value in bounds:
        fits = isinstance(value, int | float) or (isinstance(value, times) and column.kind in ("time", None))
        if not fits:
            raise ValueError(f"column {name!r}: {check} holds {value!r}, which is no number")


def _scale(name: str, given: Any) -> tuple[float, ...]:
    if not isinstance(given, list) or len(given) != len(LEVELS) or not all(isinstance(v, int | float) for v in given):
        raise ValueError(f"metadata.scales: {name!r} needs {len(LEVELS)} numbers, the quantiles at {LEVELS}")
    return tuple(map(float, given))


def _constraints(given: Any, columns: Mapping[str, Column]) -> tuple[str, ...]:
    if not isinstance(given, list | tuple):
        raise ValueError('metadata.constraints is a list, such as ["start <= end"]')  # noqa: TRY004  a file's fault
    for text in given:
        for name in expressions.columns(str(text)):
            if name not in columns:
                raise ValueError(f"the constraint {text!r} names {name!r}, which is no column of the schema")
    return tuple(map(str, given))
