"""Requests that a service must refuse, made out of a good one: each field wrong in each way, and no request at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlops.contract import Contract, Field

_MARK = "\ue000value\ue000"
_WRONG = {"a list": "[]", "an object": "{}"}
_NOT_FINITE = {"NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity", "1e999": "1e999", "-1e999": "-1e999"}


@dataclass(frozen=True, slots=True)
class Malformed:
    """What is wrong, and the body that is."""

    name: str
    body: bytes


def malformed(contract: Contract, good: Mapping[str, Any], *, body_bytes: int) -> tuple[Malformed, ...]:
    """Bodies that must each be answered with 4xx. `good` is a request that is answered; `body_bytes` the limit."""
    return (
        *_no_requests(good, body_bytes),
        *(
            Malformed(f"{field.name} is {name}", body)
            for field in contract.fields
            for name, body in _wrong(field, good)
        ),
        *(
            Malformed(f"{field.name} is left out", _json({k: v for k, v in good.items() if k != field.name}))
            for field in contract.fields
            if not field.nullable
        ),
    )


def _no_requests(good: Mapping[str, Any], body_bytes: int) -> Iterator[Malformed]:
    yield Malformed("an empty body", b"")
    yield Malformed("not JSON", b"amount=1")
    yield Malformed("not UTF-8", b'{"a":"\xff"}')
    yield Malformed("cut off", _json(good)[:-1])
    yield Malformed("null", b"null")
    yield Malformed("a number", b"1")
    yield Malformed("an empty list", b"[]")
    yield Malformed("a list of lists", b"[[]]")
    yield Malformed("a list that nests too deep", b"[" * 50_000)
    yield Malformed("one good row and one empty", b"[" + _json(good) + b",{}]")
    yield Malformed("an unknown field", _json({**good, "no_such_field_": 1}))
    yield Malformed("a body over the limit", b" " * (body_bytes + 1))


def _wrong(field: Field, good: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    values = {**_WRONG, **_NOT_FINITE}
    if field.kind != "string":
        values |= {'"nan"': '"nan"', '"text"': '"text"', '""': '""'}
    if field.kind in ("string", "timestamp", "bool"):
        values["a number"] = "1.5"
    if field.kind in ("float", "int"):
        values["true"] = "true"
    if field.kind == "int":
        values |= {"a fraction": "1.5", "too large": str(2**64)}
    if not field.nullable:
        values["null"] = "null"
    template = json.dumps({**good, field.name: _MARK}, ensure_ascii=False)
    mark = json.dumps(_MARK, ensure_ascii=False)
    for name, value in values.items():
        yield name, template.replace(mark, value).encode()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
