from __future__ import annotations

import datetime as dt
import json

import pyarrow as pa
import pytest

from mlops.contract import Field
from mlops.release import PAYLOAD
from mlops.serving import arrow
from mlops.serving.app import Front
from mlops.serving.host import Host
from mlops.serving.refusal import Refused
from mlops.serving.requests import Decoder
from tests.serving.releases import contract
from tests.serving.test_app import call, inner

HEADERS = [(b"content-type", arrow.MEDIA)]
AGREED = contract(stored=False, computed=False).__class__(
    model="m", task="binary", metric="roc_auc", label="y", classes=(0, 1), stored=(), computed=(), columns=(),
    fields=(
        Field(name="amount", kind="float", nullable=False),
        Field(name="count", kind="int", nullable=True),
        Field(name="ok", kind="bool", nullable=True),
        Field(name="word", kind="string", nullable=True),
        Field(name="at", kind="timestamp", nullable=True),
    ),
)  # fmt: skip


def stream(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def decode(columns, *, most_rows=100, **options):
    return Decoder(AGREED, most_rows=most_rows).decode(stream(pa.table(columns), **options)).rows


@pytest.fixture(scope="module")
def front(made):
    host = Host(made.releases / made.first / PAYLOAD, made.online)
    host.load()
    return Front(inner, host=host)


def test_a_batch_gets_the_answers_that_json_gets(front):
    rows = [{"customer_id": i % 3, "amount": 10.0 * i} for i in range(100)]
    status, headers, body = call(front, "POST", "/predict", stream(pa.Table.from_pylist(rows)), headers=HEADERS)
    assert (status, headers[b"content-type"]) == (200, arrow.MEDIA)
    answers = pa.ipc.open_stream(body).read_all().to_pylist()
    expected = json.loads(call(front, "POST", "/predict", json.dumps(rows).encode())[2])
    assert [{**one, "request_id": ""} for one in answers] == [{**one, "request_id": ""} for one in expected]


def test_rows_are_the_same_as_those_of_json():
    noon = dt.datetime(2024, 5, 31, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    columns = {"amount": [1.5, 2.0], "count": [3, None], "ok": [True, None], "word": ["ü", None], "at": [noon, None]}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    body = json.dumps(rows, default=lambda moment: moment.isoformat()).encode()
    # By number: what pyarrow makes of a datetime's offset depends on what else is imported.
    at = pa.array([int(noon.timestamp() * 1e6), None]).cast(pa.timestamp("us", "+02:00"))
    assert decode({**columns, "at": at}) == Decoder(AGREED, most_rows=9).decode(body).rows
    assert decode({"amount": [1.5]})[0] == {"amount": 1.5, "count": None, "ok": None, "word": None, "at": None}


@pytest.mark.parametrize(
    ("columns", "reason", "row"),
    [
        ({"amount": ["1.5"]}, "must be a column of float, not of string", None),
        ({"amount": [True]}, "must be a column of float, not of bool", None),
        ({"amount": [1.0, None]}, "must not be null", 1),
        ({"amount": [1.0, float("nan")]}, "must be a finite number, not nan", 1),
        ({"amount": [float("-inf")]}, "must be a finite number, not -inf", 0),
        ({"amount": [1.0], "count": [1.5]}, "must be a column of int, not of double", None),
        ({"amount": [1.0], "count": pa.array([2**63], pa.uint64())}, "out of range", 0),
        ({"amount": [1.0], "at": ["2024-05-31"]}, "must be a column of a timestamp", None),
        ({"amount": [1.0], "word": pa.array(["a"], pa.string_view())}, "not of string_view", None),
        ({"amount": [1.0], "who": [1]}, "unknown field 'who'", None),
        ({"count": [1]}, "'amount' is missing", None),
        ({"amount": pa.array([], pa.float64())}, "no rows", None),
    ],
)
def test_columns_are_held_to_the_contract(columns, reason, row):
    """Promise 17."""
    with pytest.raises(Refused, match=reason) as refused:
        decode(columns)
    assert (refused.value.status, refused.value.row) == (422, row)


def test_what_would_grow_when_unpacked_is_refused_before(front):
    """Promise 18."""
    table = pa.table({"amount": [1.0] * 90, "word": ["x" * 1000] * 90})
    for option in ("lz4", "zstd"):
        with pytest.raises(Refused, match="compressed batches"):
            Decoder(AGREED, most_rows=100).decode(stream(table, compression=option))
    with pytest.raises(Refused, match="dictionary columns"):
        decode({"amount": [1.0], "word": pa.array(["a"]).dictionary_encode()})
    with pytest.raises(Refused, match="100 rows are too many") as refused:
        decode({"amount": [1.0] * 100}, most_rows=99)
    assert refused.value.status == 413


def test_what_is_no_stream_is_a_json_error(front):
    good = stream(pa.table({"customer_id": [1], "amount": [1.5]}))
    for body, headers, expected in [
        (b'{"amount": 1}', HEADERS, 400),
        (b"", HEADERS, 400),
        (good, [], 415),
        (good[: len(good) // 2], HEADERS, 400),
        (arrow.MARK, HEADERS, 400),
        (arrow.MARK + b"\xff" * 100, HEADERS, 400),
    ]:
        status, said, answer = call(front, "POST", "/predict", body, headers=headers)
        assert (status, said[b"content-type"]) == (expected, b"application/json"), body
        assert json.loads(answer)["error"]


def test_no_flipped_byte_is_a_fault_of_the_service(front):
    """Promise 17."""
    good = bytearray(stream(pa.table({"customer_id": [1, 2], "amount": [1.5, 2.5]})))
    for place in range(len(good)):
        for change in (0xFF, 0x01):
            bad = bytes([*good[:place], good[place] ^ change, *good[place + 1 :]])
            status, _, answer = call(front, "POST", "/predict", bad, headers=HEADERS)
            assert status == 200 or 400 <= status < 500, (place, change, answer)
