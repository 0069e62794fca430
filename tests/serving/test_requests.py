from __future__ import annotations

import json
from datetime import datetime

import pytest

from mlops.contract import Contract, Field
from mlops.serving.refusal import Refused
from mlops.serving.requests import Decoder

FIELDS = (
    Field(name="amount", kind="float", nullable=False),
    Field(name="count", kind="int", nullable=False),
    Field(name="new", kind="bool", nullable=False),
    Field(name="card type", kind="string", nullable=False),
    Field(name="when", kind="timestamp", nullable=False),
    Field(name="age", kind="float", nullable=True),
)
GOOD = {"amount": 1.5, "count": 3, "new": True, "card type": "visa", "when": "2024-05-31T12:00:00", "age": 40.0}


@pytest.fixture
def decoder():
    agreed = Contract(
        model="m_v1", task="binary", metric="roc_auc", label="y", classes=(0, 1), fields=FIELDS, stored=(), computed=(),
        columns=(),
    )  # fmt: skip
    return Decoder(agreed, most_rows=3)


def refused(decoder, body):
    with pytest.raises(Refused) as caught:
        decoder.decode(body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value


def raw(field, text):
    return json.dumps({**GOOD, field: "@"}).replace('"@"', text).encode()


def test_a_good_row_keeps_every_value(decoder):
    decoded = decoder.decode(json.dumps(GOOD).encode())
    assert not decoded.many
    assert decoded.rows == ({**GOOD, "when": datetime.fromisoformat("2024-05-31T12:00:00")},)


def test_a_list_gives_as_many_rows(decoder):
    decoded = decoder.decode(json.dumps([GOOD, GOOD]).encode())
    assert decoded.many
    assert len(decoded.rows) == 2


def test_a_nullable_field_may_be_null_or_left_out(decoder):
    without = {name: value for name, value in GOOD.items() if name != "age"}
    assert decoder.decode(json.dumps(without).encode()).rows[0]["age"] is None
    assert decoder.decode(json.dumps({**GOOD, "age": None}).encode()).rows[0]["age"] is None


def test_times_with_a_zone_are_told_in_utc(decoder):
    rows = decoder.decode(json.dumps({**GOOD, "when": "2024-05-31T12:00:00+02:00"}).encode()).rows
    assert rows[0]["when"] == datetime.fromisoformat("2024-05-31T10:00:00")


@pytest.mark.parametrize("field", ["amount", "count", "age"])
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", '"nan"', "true", "[]", "{}"])
def test_what_is_no_finite_number_is_refused_by_field(decoder, field, text):
    """Promise 17."""
    answer = refused(decoder, raw(field, text))
    assert answer.status == 422
    assert answer.field == field
    assert repr(field) in answer.reason


@pytest.mark.parametrize("field", ["amount", "count", "new", "card type", "when"])
def test_null_is_refused_where_it_may_not_be(decoder, field):
    """Promise 17."""
    answer = refused(decoder, {**GOOD, field: None})
    assert (answer.status, answer.field) == (422, field)


@pytest.mark.parametrize(
    ("field", "value"),
    [("new", 1), ("card type", 3), ("when", "yesterday"), ("when", ""), ("count", 1.5), ("count", 2**64)],
)
def test_a_value_of_another_kind_is_refused_by_field(decoder, field, value):
    answer = refused(decoder, {**GOOD, field: value})
    assert (answer.status, answer.field) == (422, field)


def test_the_row_of_a_list_is_named(decoder):
    answer = refused(decoder, [GOOD, {**GOOD, "card type": 1}])
    assert (answer.field, answer.row) == ("card type", 1)
    assert refused(decoder, raw("amount", "NaN").join([b"[", b"]"])).row == 0


def test_a_missing_and_an_unknown_field_are_named(decoder):
    assert refused(decoder, {k: v for k, v in GOOD.items() if k != "amount"}).field == "amount"
    unknown = refused(decoder, {**GOOD, "amont": 1})
    assert unknown.field == "amont"
    assert "amount" in unknown.reason


@pytest.mark.parametrize("body", [b"", b"amount=1", b"{", b"\xff\xfe", b'{"amount":"\xff"}', b"[" * 100_000])
def test_what_is_no_json_is_a_bad_request(decoder, body):
    assert refused(decoder, body).status in (400, 422)


@pytest.mark.parametrize("body", [b"[]", b"3", b"null", b'"x"', b"[[]]", b"[3]"])
def test_json_of_another_shape_is_refused(decoder, body):
    assert refused(decoder, body).status == 422


def test_too_many_rows_are_refused(decoder):
    assert refused(decoder, [GOOD] * 4).status == 413


def test_python_values_are_held_to_the_same_rules(decoder):
    assert decoder.convert([GOOD])[0]["amount"] == 1.5
    with pytest.raises(Refused, match="finite"):
        decoder.convert([{**GOOD, "amount": float("nan")}])
    with pytest.raises(Refused, match="unknown"):
        decoder.convert([{**GOOD, "x": 1}])
