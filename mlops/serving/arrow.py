"""Batches as Arrow streams: rows in, answers out, held to the same contract as JSON.

A stream is looked at before it is unpacked: compressed buffers and dictionaries are refused, since a few bytes of them
can stand for gigabytes, and rows are counted from the headers alone.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops.contract import Contract, Field
from mlops.serving.refusal import Refused

if TYPE_CHECKING:
    import pyarrow as pa

MEDIA = b"application/vnd.apache.arrow.stream"
MARK = b"\xff\xff\xff\xff"
"""How each message of a stream begins, and no JSON."""

_HEADER, _LENGTH, _COMPRESSION = 2, 0, 3  # places of fields in Arrow's Message.fbs
_INT64 = 2**63


def decode(body: bytes, contract: Contract, *, most_rows: int) -> tuple[dict[str, Any], ...]:
    """The rows of a stream, as those of JSON are; Refused: 400 not Arrow, 422 not the contract, 413 too many."""
    import pyarrow as pa

    try:
        _demand_plain(body, most_rows)
        table = pa.ipc.open_stream(body).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, struct.error, IndexError, OverflowError, ValueError) as error:
        raise Refused(400, f"the body is no Arrow stream: {' '.join(str(error).split())[:200]}") from None
    _demand_columns(table.column_names, contract)
    if not len(table):
        raise Refused(422, "the stream has no rows")
    columns = [
        _values(table.column(field.name), field) if field.name in table.column_names else [None] * len(table)
        for field in contract.fields
    ]
    names = [field.name for field in contract.fields]
    return tuple(dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def encode(answers: Sequence[Mapping[str, Any]]) -> bytes:
    """The answers as a stream of one batch; `probabilities` is a struct of the classes."""
    import pyarrow as pa

    table = pa.Table.from_pylist([dict(one) for one in answers])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _demand_plain(body: bytes, most_rows: int) -> None:
    """Refuse what would grow when it is unpacked, and more rows than may come; nothing is unpacked yet."""
    import pyarrow as pa

    reader = pa.ipc.MessageReader.open_stream(body)
    rows = 0
    while True:
        try:
            message = reader.read_next_message()
        except (EOFError, StopIteration):
            break
        if message.type == "dictionary":
            raise Refused(422, "dictionary columns are not read here: send plain ones")
        if message.type == "record batch":
            metadata = message.metadata.to_pybytes()
            batch = _below(metadata, _member(metadata, _below(metadata, 0), _HEADER))
            if _has(metadata, batch, _COMPRESSION):
                raise Refused(422, "compressed batches are not read here: send plain ones")
            if _has(metadata, batch, _LENGTH):
                rows += struct.unpack_from("<q", metadata, _member(metadata, batch, _LENGTH))[0]
        if rows > most_rows:
            raise Refused(413, f"{rows} rows are too many for one request; at most {most_rows}")


def _below(data: bytes, place: int) -> int:
    """Where the table lies that the offset at `place` points to (FlatBuffers)."""
    return int(place + struct.unpack_from("<I", data, place)[0])


def _offset(data: bytes, table: int, member: int) -> int:
    listed = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, listed)[0]
    entry = 4 + 2 * member
    return int(struct.unpack_from("<H", data, listed + entry)[0]) if entry < size else 0


def _has(data: bytes, table: int, member: int) -> bool:
    return _offset(data, table, member) != 0


def _member(data: bytes, table: int, member: int) -> int:
    return table + _offset(data, table, member)


def _demand_columns(names: Sequence[str], contract: Contract) -> None:
    known = [field.name for field in contract.fields]
    for name in names:
        if name not in known:
            raise Refused(422, f"unknown field {name!r}; the fields are {', '.join(known)}", field=name)
        if names.count(name) > 1:
            raise Refused(422, f"the field {name!r} is there twice", field=name)
    for field in contract.fields:
        if field.name not in names and not field.nullable:
            raise Refused(422, f"the field {field.name!r} is missing", field=field.name)


def _values(column: pa.ChunkedArray, field: Field) -> list[Any]:
    """The values as JSON's decoder gives them."""
    import pyarrow as pa

    if not _fits(column.type, field):
        wanted = {"timestamp": "a timestamp"}.get(field.kind, field.kind)
        raise Refused(
            422, f"the field {field.name!r} must be a column of {wanted}, not of {column.type}", field=field.name
        )
    if column.null_count and not field.nullable:
        row = next(i for i, value in enumerate(column) if not value.is_valid)
        raise Refused(422, f"the field {field.name!r} must not be null", field=field.name, row=row)
    try:
        if field.kind == "timestamp":
            column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
            column = column.cast(pa.timestamp("us")) if column.type.tz else column  # keeps the moment in UTC
        elif field.kind == "float":
            column = column.cast(pa.float64(), safe=False)
        values: list[Any] = column.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Refused(422, f"the field {field.name!r} is out of range: {reason}", field=field.name) from None
    _demand_range(values, field)
    return values


def _demand_range(values: Sequence[Any], field: Field) -> None:
    for row, value in enumerate(values):
        if field.kind == "float" and value is not None and not math.isfinite(value):
            raise Refused(
                422, f"the field {field.name!r} must be a finite number, not {value}", field=field.name, row=row
            )
        if field.kind == "int" and value is not None and value >= _INT64:
            raise Refused(422, f"the field {field.name!r} is out of range", field=field.name, row=row)


def _fits(kind: pa.DataType, field: Field) -> bool:
    import pyarrow.types as t

    if t.is_null(kind):
        return field.nullable
    checks = {
        "float": lambda: t.is_floating(kind) or t.is_integer(kind),
        "int": lambda: t.is_integer(kind),
        "bool": lambda: t.is_boolean(kind),
        # Not the views: many of their strings may share one buffer, so they too would grow.
        "string": lambda: t.is_string(kind) or t.is_large_string(kind),
        "timestamp": lambda: t.is_timestamp(kind),
    }
    return bool(checks[field.kind]())
