from __future__ import annotations

from mlops.contract import Contract, Field
from mlops.serving.malformed import malformed
from mlops.serving.refusal import Refused
from mlops.serving.requests import Decoder

KINDS = ("float", "int", "bool", "string", "timestamp")
FIELDS = tuple(
    Field(name=f"{kind} {'or null' if nullable else ''}", kind=kind, nullable=nullable)
    for kind in KINDS
    for nullable in (True, False)
)
VALUES = {"float": 1.5, "int": 1, "bool": True, "string": "a\ue000", "timestamp": "2024-05-31T12:00:00"}


def test_each_case_is_refused_for_every_kind_of_field():
    """Promise 17."""
    agreed = Contract(
        model="m_v1", task="regression", metric="r2", label="y", classes=(), fields=FIELDS, stored=(), computed=(),
        columns=(),
    )  # fmt: skip
    good = {field.name: VALUES[field.kind] for field in FIELDS}
    decoder = Decoder(agreed, most_rows=10)
    assert decoder.convert([good])
    cases = malformed(agreed, good, body_bytes=100)
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        try:
            accepted = decoder.decode(case.body)
        except Refused:
            continue
        raise AssertionError(f"{case.name} was accepted as {accepted}")
