"""Requests decoded strictly against the contract: every value typed and finite, no field too many or too few."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mlops.contract import Contract, Field
from mlops.serving import arrow
from mlops.serving.refusal import Refused

Row = Mapping[str, Any]
"""A request's fields in the contract's order; a missing nullable field is None."""

_LEAST = -(2**63)
_INT64 = Annotated[int, Meta(ge=_LEAST, le=-_LEAST - 1)]
_KINDS: dict[str, Any] = {"float": float, "int": _INT64, "bool": bool, "string": str, "timestamp": str}
_WORDS = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "string": "a string",
    "timestamp": "a time",
}
_WHERE = re.compile(r"^\$(?:\[(?P<row>\d+)\])?(?:\.(?P<field>.+))?$", re.DOTALL)
_QUOTED = re.compile(r"`(?P<field>.*)`", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The rows of a request, and whether they came as a list."""

    rows: tuple[Row, ...]
    many: bool


class Decoder:
    """Turns the bytes of a request into rows, or raises Refused: 400 not JSON, 422 not the contract, 413 too many."""

    def __init__(self, contract: Contract, *, most_rows: int) -> None:
        self._fields = {field.name: field for field in contract.fields}
        self._contract = contract
        self._most = most_rows
        self._times = tuple(field.name for field in contract.fields if field.kind == "timestamp")
        self._whole = tuple(field.name for field in contract.fields if field.kind == "int")
        self._decode = _decoder(contract.fields, _KINDS)
        self._decode_fractions = _decoder(contract.fields, {**_KINDS, "int": _INT64 | float})
        self._attributes = tuple((name, f"f{i}") for i, name in enumerate(self._fields))

    def decode(self, body: bytes) -> Decoded:
        """The rows of a JSON object or list of objects, or of an Arrow stream."""
        if body.startswith(arrow.MARK):
            return Decoded(arrow.decode(body, self._contract, most_rows=self._most), many=True)
        try:
            value = self._decode(body)
        except msgspec.ValidationError as error:
            value = self._with_whole_fractions(body, error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._malformed(body, str(error)) from None
        if type(value) is not list:
            return Decoded((self._row(value, None),), many=False)
        if not value:
            raise Refused(422, "the list of rows is empty")
        if len(value) > self._most:
            raise Refused(413, f"{len(value)} rows are too many for one request; at most {self._most}")
        return Decoded(tuple(self._row(one, i) for i, one in enumerate(value)), many=True)

    def convert(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
        """Rows that are Python values already, held to the same rules."""
        try:
            body = msgspec.json.encode(list(rows))
        except (TypeError, ValueError) as error:
            raise Refused(422, f"the rows cannot be read: {error}") from None
        for i, row in enumerate(rows):
            _refuse_non_finite(row, i)
        return self.decode(body).rows

    def _row(self, value: Any, position: int | None) -> Row:
        row = {name: getattr(value, attribute) for name, attribute in self._attributes}
        for name in self._times:
            row[name] = _moment(row[name], name, position)
        return row

    def _with_whole_fractions(self, body: bytes, error: msgspec.ValidationError) -> Any:
        """The value where 3.0 stands for 3, as JSON has it and as a column with gaps writes it; else the error told."""
        try:
            value = self._decode_fractions(body)
        except msgspec.ValidationError:
            raise self._explained(str(error)) from None
        for row in value if type(value) is list else (value,):
            for name, attribute in self._attributes:
                number = getattr(row, attribute)
                if name in self._whole and type(number) is float:
                    if not number.is_integer() or not _LEAST <= number < -_LEAST:
                        raise self._explained(str(error))
                    setattr(row, attribute, int(number))
        return value

    def _explained(self, reason: str) -> Refused:
        what, _, where = reason.partition(" - at ")
        match = _WHERE.match(where.strip("`"))
        row = int(match["row"]) if match and match["row"] else None
        field = match["field"] if match else None
        if what.startswith("Object contains unknown field"):
            field = _quoted(what)
            return Refused(
                422, f"unknown field {field!r}; the fields are {', '.join(self._fields)}", field=field, row=row
            )
        if what.startswith("Object missing required field"):
            field = _quoted(what)
            return Refused(422, f"the field {field!r} is missing", field=field, row=row)
        if field in self._fields:
            return Refused(422, f"the field {field!r} {_wrong(self._fields[field], what)}", field=field, row=row)
        return Refused(422, f"a request is an object of fields, or a list of such objects ({what.lower()})", row=row)

    def _malformed(self, body: bytes, reason: str) -> Refused:
        """NaN and Infinity are no JSON, but many clients write them: then the answer names the field."""
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return Refused(400, f"the body is not JSON: {reason}")
        try:
            for i, row in enumerate(value if isinstance(value, list) else [value]):
                _refuse_non_finite(row, i if isinstance(value, list) else None)
        except Refused as refused:
            return refused
        return Refused(400, f"the body is not JSON: {reason}")


def _decoder(fields: Sequence[Field], kinds: Mapping[str, Any]) -> Callable[[bytes], Any]:
    """From bytes to a struct, or to a list of structs."""
    row = _struct(fields, kinds)
    return msgspec.json.Decoder(row | list[row]).decode  # type: ignore[valid-type]  # made at run time


def _struct(fields: Sequence[Field], kinds: Mapping[str, Any]) -> type[msgspec.Struct]:
    # Field names of users need not be Python names, so attributes are f0, f1, … and renamed in JSON.
    names = {f"f{i}": field.name for i, field in enumerate(fields)}
    members: list[Any] = []
    for attribute, field in zip(names, fields, strict=True):
        kind = kinds[field.kind]
        members.append((attribute, kind | None, None) if field.nullable else (attribute, kind))
    rename: Callable[[str], str] = names.__getitem__
    return msgspec.defstruct("Row", members, rename=rename, forbid_unknown_fields=True, kw_only=True, gc=False)


def _moment(value: str | None, name: str, position: int | None) -> datetime | None:
    """The moment in UTC, without a zone, so that rows with and without one can stand side by side."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        raise Refused(
            422, f"the field {name!r} must be a time such as 2024-05-31T12:00:00", field=name, row=position
        ) from None


def _refuse_non_finite(row: Any, position: int | None) -> None:
    for name, value in row.items() if isinstance(row, Mapping) else ():
        if isinstance(value, float) and not math.isfinite(value):
            raise Refused(422, f"the field {name!r} must be a finite number, not {value}", field=name, row=position)


def _wrong(field: Field, what: str) -> str:
    if "out of range" in what or "<=" in what or ">=" in what:
        return "is out of range"
    may = " or null" if field.nullable else ""
    got = re.search(r"got `(\w+)`", what)
    found = f", not {_GOT.get(got[1], got[1])}" if got else ""
    return f"must be {_WORDS[field.kind]}{may}{found}"


_GOT = {"str": "a string", "int": "a whole number", "float": "a fraction", "bool": "true or false", "array": "a list"}


def _quoted(text: str) -> str:
    match = _QUOTED.search(text)
    return match["field"] if match else ""
