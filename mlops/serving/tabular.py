"""Rows of a file held to a release's contract: each value as a request would bring it, or a fault with its reason.

Text is read as a snapshot reads it (trimmed, the words for "missing", the source's own decimal mark and forms of
time), so that a row in a file means what it meant in training; what is accepted is what the service accepts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops.adapters import columns as snapshot
from mlops.config import Source
from mlops.contract import Contract, Field
from mlops.errors import GateFailed, nearest

if TYPE_CHECKING:
    import pyarrow as pa

_INT64 = 2**63
_EXACT = 18
"""So many digits always fit into 64 bits."""
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_WHOLE = r"^[+-]?\d+$"
_MUST = {
    "float": "must be a number",
    "int": "must be a whole number",
    "bool": "must be true or false",
    "string": "must be a string",
    "timestamp": "must be a time",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file's columns become values: by the settings of a source, and whether all of them are text."""

    source: Source
    text: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a row is no request: its position (from 0), and the column and the value to mend."""

    row: int
    column: str
    value: str
    reason: str


@dataclass(frozen=True)
class Checked:
    """The positions of the rows that are requests, all rows' values by column, and what is wrong with the others."""

    positions: tuple[int, ...]
    columns: Mapping[str, list[Any]]
    faults: tuple[Fault, ...]

    @cached_property
    def rows(self) -> list[Mapping[str, Any]]:
        """The rows that are requests."""
        values = zip(*self.columns.values(), strict=True)
        whole = not self.faults
        good = values if whole else itertools.compress(values, self._good())
        return [dict(zip(self.columns, row, strict=True)) for row in good]

    def _good(self) -> list[bool]:
        bad = {fault.row for fault in self.faults}
        return [at not in bad for at in range(len(next(iter(self.columns.values()))))]


@dataclass(frozen=True, slots=True)
class _Column:
    """A column's values, None where one is missing, and by position what is no value."""

    values: list[Any]
    wrong: Mapping[int, str]


def demand_columns(names: Sequence[str], wanted: Sequence[str], shown: str) -> None:
    """GateFailed where the file lacks a column, also one that may be missing: it may be misspelt."""
    lacking = [name for name in wanted if name not in names]
    if not lacking:
        return
    more = f" (and {', '.join(repr(name) for name in lacking[1:])})" if lacking[1:] else ""
    others = [name for name in names if name not in wanted]
    raise GateFailed(
        f"{shown} lacks the column {lacking[0]!r}{more}, which the release reads",
        next_step=f"{nearest(lacking[0], others or names)} A column without values may be empty, but must be there",
    )


def checked(batch: pa.Table, contract: Contract, reading: Reading, *, timestamp: str | None = None) -> Checked:
    """The rows of a batch that the contract takes. `timestamp` names a further column that must hold a time."""
    fields = list(contract.fields)
    if timestamp is not None:
        fields = [field for field in fields if field.name != timestamp]
        fields.append(Field(name=timestamp, kind="timestamp", nullable=False))
    read = {field.name: _read(batch.column(field.name), field, reading) for field in fields}
    faults = sorted(
        (fault for field in fields for fault in _faults(batch, field, read[field.name])), key=lambda one: one.row
    )
    bad = {fault.row for fault in faults}
    good = tuple(at for at in range(len(batch)) if at not in bad)
    return Checked(good, {name: column.values for name, column in read.items()}, tuple(faults))


def _faults(batch: pa.Table, field: Field, column: _Column) -> list[Fault]:
    told = [Fault(at, field.name, _shown(batch, field, at), reason) for at, reason in column.wrong.items()]
    if not field.nullable:
        missing = (at for at, value in enumerate(column.values) if value is None and at not in column.wrong)
        told += [Fault(at, field.name, _shown(batch, field, at), "must not be missing") for at in missing]
    return told


def _shown(batch: pa.Table, field: Field, row: int) -> str:
    value = batch.column(field.name)[row].as_py()
    return "" if value is None else str(value)[:80]


def _read(column: pa.ChunkedArray, field: Field, reading: Reading) -> _Column:
    import pyarrow as pa

    source = reading.source
    if reading.text:
        return _FROM_TEXT[field.kind](snapshot.trimmed(column), field, source)
    typed = snapshot.from_typed(column, field.name, _without_times(source), _nowhere)
    if pa.types.is_string(typed.type) and field.kind in ("string", "timestamp"):
        return _FROM_TEXT[field.kind](typed, field, source)
    return _from_typed(typed, field)


def _from_typed(column: pa.ChunkedArray, field: Field) -> _Column:
    import pyarrow.types as t

    kind = column.type
    fits = {
        "float": t.is_floating(kind) or t.is_integer(kind),
        "int": t.is_floating(kind) or t.is_integer(kind),
        "bool": t.is_boolean(kind),
        "string": False,
        "timestamp": t.is_timestamp(kind),
    }[field.kind]
    if not fits and column.null_count < len(column):
        raise GateFailed(
            f"the column {field.name!r} holds {kind}, and the release wants {field.kind}",
            next_step=f"write it as {field.kind}",
        )
    if field.kind == "timestamp":
        column = _microseconds(column)
    values = column.to_pylist()
    if field.kind == "float":
        return _finite([None if value is None else float(value) for value in values])
    if field.kind == "int" and t.is_floating(kind):
        return _whole(values)
    return _Column(values, {})


def _microseconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    return column.cast(pa.timestamp("us"), safe=False)


# -- text ---------------------------------------------------------------------------------------------------------


def _float_text(text: pa.ChunkedArray, _: Field, source: Source) -> _Column:
    import pyarrow as pa
    from pyarrow import compute

    plain, is_number = _numbers(text, source)
    numbers = compute.if_else(is_number, plain, pa.scalar(None, pa.string())).cast(pa.float64())
    found = _finite(_present(numbers.to_pylist(), source))
    return _Column(found.values, {**_not(is_number, "float"), **found.wrong})


def _int_text(text: pa.ChunkedArray, _: Field, source: Source) -> _Column:
    from pyarrow import compute

    plain, is_number = _numbers(text, source)
    short = compute.and_(
        compute.match_substring_regex(plain, _WHOLE), compute.less_equal(compute.utf8_length(plain), _EXACT)
    )
    values: list[Any] = []
    wrong = _not(is_number, "int")
    for at, (word, digits) in enumerate(zip(plain.to_pylist(), short.to_pylist(), strict=True)):
        if word is None or at in wrong:
            values.append(None)
        elif digits:
            values.append(int(word))
        else:
            value, reason = _whole_number(word)
            values.append(value)
            if reason:
                wrong[at] = reason
    return _Column(_present(values, source), wrong)


def _bool_text(text: pa.ChunkedArray, *_: object) -> _Column:
    words = [None if word is None else word.lower() for word in text.to_pylist()]
    known = {"true": True, "false": False, None: None}
    return _Column(
        [known.get(word) for word in words], {at: _MUST["bool"] for at, word in enumerate(words) if word not in known}
    )


def _string_text(text: pa.ChunkedArray, *_: object) -> _Column:
    return _Column(text.to_pylist(), {})


def _timestamp_text(text: pa.ChunkedArray, field: Field, source: Source) -> _Column:
    import pandas as pd
    import pyarrow as pa

    form = source.timestamps.get(field.name, "")
    words = text.to_pandas()
    moments = pd.to_datetime(words, format=form or "ISO8601", errors="coerce", utc=True)
    naive = moments.dt.tz_localize(None).astype("datetime64[us]")
    bad = (naive.isna() & words.notna()).to_numpy().nonzero()[0].tolist()
    wanted = f"in the form {form}" if form else "such as 2024-05-31T12:00:00"
    values = pa.array(naive.to_numpy(), from_pandas=True).cast(pa.timestamp("us")).to_pylist()
    return _Column(values, dict.fromkeys(bad, f"{_MUST['timestamp']} {wanted}"))


_FROM_TEXT: dict[str, Callable[[pa.ChunkedArray, Field, Source], _Column]] = {
    "float": _float_text,
    "int": _int_text,
    "bool": _bool_text,
    "string": _string_text,
    "timestamp": _timestamp_text,
}


def _numbers(text: pa.ChunkedArray, source: Source) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The words with a point as decimal mark, and which of them are numbers."""
    from pyarrow import compute

    plain = text
    if source.decimal != ".":
        foreign = compute.match_substring(text, ".")
        plain = compute.if_else(foreign, "?", compute.replace_substring(text, source.decimal, "."))
    return plain, compute.match_substring_regex(plain, _NUMBER)


def _not(fits: pa.ChunkedArray, kind: str) -> dict[int, str]:
    return {at: _MUST[kind] for at, fit in enumerate(fits.to_pylist()) if fit is False}


def _present(values: list[Any], source: Source) -> list[Any]:
    """None where a number is one that means "missing" in this source."""
    missing = {float(one) for one in source.missing if not isinstance(one, str)}
    return [None if value in missing else value for value in values] if missing else values


def _finite(values: list[Any]) -> _Column:
    wrong = {at: "must be a finite number" for at, v in enumerate(values) if v is not None and not math.isfinite(v)}
    return _Column(values, wrong)


def _whole(values: list[Any]) -> _Column:
    """Floats that stand for whole numbers, as a column with gaps is written."""
    told = [(None, "") if value is None else _whole_number(value) for value in values]
    return _Column([value for value, _ in told], {at: reason for at, (_, reason) in enumerate(told) if reason})


def _whole_number(word: str | float) -> tuple[int | None, str]:
    """3.0 for 3, as the service takes it; else why not."""
    try:
        value = int(word)
        if not isinstance(word, str) and value != word:
            return None, _MUST["int"]
    except (ValueError, OverflowError):
        number = float(word)
        if math.isfinite(number) and not number.is_integer():
            return None, _MUST["int"]
        if not math.isfinite(number):
            return None, "is out of range"
        value = int(number)
    return (value, "") if -_INT64 <= value < _INT64 else (None, "is out of range")


def _without_times(source: Source) -> Source:
    """Its settings but for times, whose faults are told row by row here."""
    import msgspec

    return msgspec.structs.replace(source, timestamps={})


def _nowhere(_: int) -> str:
    return ""
