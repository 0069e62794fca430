"""Whether an ONNX file is only arithmetic of its own: no data in other files, no operators out of a foreign library.

ONNX Runtime opens whatever path a tensor names as its place. So the file is looked at before the runtime sees it, by a
reader of our own: the service has the runtime, but not the `onnx` package. A file is a tree of protobuf messages
(https://protobuf.dev/programming-guides/encoding, fields as in onnx.proto3), of which only a few can hold a tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlops.errors import GateFailed

OWN_OPERATORS = ("", "ai.onnx", "ai.onnx.ml")
_DEEPEST = 64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class _Kind:
    """A message: the fields that hold further messages, and what must be looked at in it."""

    inner: Mapping[int, str]
    domain: int = 0
    location: int = 0
    outside: int = 0


_KINDS = {
    "model": _Kind({7: "graph", 20: "training", 25: "function", 8: "opset"}),
    "graph": _Kind({1: "node", 5: "tensor", 15: "sparse"}),
    "node": _Kind({5: "attribute"}, domain=7),
    "attribute": _Kind({5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"}),
    "sparse": _Kind({1: "tensor", 2: "tensor"}),
    "training": _Kind({1: "graph", 2: "graph"}),
    "function": _Kind({7: "node", 9: "opset", 11: "attribute"}, domain=10),
    "opset": _Kind({}, domain=1),
    "tensor": _Kind({}, outside=13, location=14),
}


def demand_self_contained(data: bytes, name: str = "the model") -> None:
    """GateFailed when the ONNX file reads other files, needs a foreign operator library, or is no ONNX file."""
    try:
        problem = next(_problems(memoryview(data), "model", 0), "")
        problem = problem or ("" if _has_graph(data) else "it holds no graph")
    except (IndexError, ValueError) as error:
        problem = f"it is no ONNX file: {error}"
    if problem:
        raise GateFailed(
            f"{name} is refused: {problem}",
            next_step="only files that `mlops package` wrote are served; make the release again with `mlops run`",
        )


def _has_graph(data: bytes) -> bool:
    return any(number == 7 for number, _, _ in _fields(memoryview(data)))


def _problems(message: memoryview, kind: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise ValueError("it nests too deep")
    known = _KINDS[kind]
    for number, wire, value in _fields(message):
        content = value if isinstance(value, memoryview) else None
        if number in known.inner and content is not None:
            yield from _problems(content, known.inner[number], depth + 1)
        elif number == known.domain and content is not None and str(content, "utf-8", "replace") not in OWN_OPERATORS:
            yield f"it needs operators of {str(content, 'utf-8', 'replace')!r}, which is not part of ONNX"
        elif known.outside and (number == known.outside or (number == known.location and value)):
            yield "it keeps data in another file"
        elif number in known.inner and wire != _BYTES:
            raise ValueError("a part of it is not what it says")


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview | int]]:
    """Number, wire type and value of each field of a message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        value: memoryview | int
        if wire == _VARINT:
            value, at = _varint(message, at)
        elif wire in (_FIXED64, _FIXED32, _BYTES):
            size = 8 if wire == _FIXED64 else 4
            if wire == _BYTES:
                size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("it is cut off")
            value, at = message[at : at + size], at + size
        else:
            raise ValueError("it holds what protobuf does not know")
        yield number, wire, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if at >= len(message):
            raise ValueError("it is cut off")
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("a number in it has no end")
