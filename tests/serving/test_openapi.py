"""The description is true: schemathesis asks all that it says may be asked, and all that it says may not."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops.adapters import bentoserver, load, onnx
from mlops.contract import Column, Contract, Field
from mlops.release import CONTRACT, GOLDEN
from mlops.serving.app import Limits
from mlops.serving.malformed import malformed
from mlops.serving.openapi import answer, document
from mlops.serving.refusal import Refused
from mlops.serving.requests import Decoder
from mlops.serving.runtime import LoadedRelease
from tests.serving.releases import contract as small

EXAMPLES = 1000
# Every kind of field, with and without null.
FIELDS = (
    Field(name="amount", kind="float", nullable=False, example=12.5),
    Field(name="discount", kind="float", nullable=True),
    Field(name="count", kind="int", nullable=False, example=3),
    Field(name="floor", kind="int", nullable=True),
    Field(name="online", kind="bool", nullable=False, example=True),
    Field(name="member", kind="bool", nullable=True, example=False),
    Field(name="channel", kind="string", nullable=False, example="web"),
    Field(name="coupon", kind="string", nullable=True),
    Field(name="at", kind="timestamp", nullable=False, example="2024-05-31T12:00:00Z"),
    Field(name="seen", kind="timestamp", nullable=True),
)
COLUMNS = tuple(
    Column(name=field.name, kind="string" if field.kind == "string" else "number")
    for field in FIELDS
    if field.kind != "timestamp"
)
CONTRACT_OF_ALL = Contract(
    model="every_v1", task="binary", metric="roc_auc", label="bad", classes=(0, 1),
    fields=FIELDS, stored=(), computed=(), columns=COLUMNS,
)  # fmt: skip


def payload(folder):
    """A release with a field of every kind."""
    random = np.random.default_rng(0)
    numbers = [column.name for column in COLUMNS if column.kind == "number"]
    words = [column.name for column in COLUMNS if column.kind == "string"]
    X = pd.DataFrame({name: random.normal(size=300) for name in numbers})
    for name in words:
        X[name] = random.choice(["web", "chip"], 300).astype(object)
    prepared = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
    )
    fitted = make_pipeline(prepared, LogisticRegression()).fit(X[[c.name for c in COLUMNS]], X[numbers[0]] > 0)
    fitted[-1].classes_ = np.array([0, 1])
    folder.mkdir(parents=True)
    (folder / CONTRACT).write_bytes(msgspec.json.encode(CONTRACT_OF_ALL))
    (folder / GOLDEN).write_bytes(b"[]")
    (folder / "model.onnx").write_bytes(onnx.convert(fitted, CONTRACT_OF_ALL))
    request = {field.name: field.example for field in FIELDS}
    loaded = LoadedRelease(release="", payload=folder, source=folder.parent, online=None)
    said = loaded.answer(loaded.decoder.convert([request]))[0]
    kept = {key: value for key, value in said.items() if key != "release"}
    (folder / GOLDEN).write_bytes(msgspec.json.encode([{"request": request, "answer": kept}]))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    place = tmp_path_factory.mktemp("described")
    serving = bentoserver.Serving(
        target="mlops.serving.service:Service",
        port=bentoserver.free_port(),
        home=place / "home",
        variables={"MLOPS_RELEASE": str(payload(place / "every" / "release")), "MLOPS_TOKEN": "secret"},
    )
    with bentoserver.running(serving, log=place / "log") as process:
        bentoserver.wait_ready(process, serving, seconds=60)
        yield f"http://127.0.0.1:{serving.port}"


def get(address, path, token="secret"):
    request = urllib.request.Request(f"{address}{path}", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as said:
        return said.read()


def test_schemathesis_finds_nothing(server, tmp_path):
    """Promise 17: at least 1,000 examples, none answered with 5xx, none against the description.

    That many of the operation that takes an input; the others take none, so there is one way to ask them rightly, and
    a few to ask them wrongly.
    """
    settings = tmp_path / "schemathesis.toml"
    # Too many rows are refused with 413, which schemathesis does not count as a refusal by itself.
    settings.write_text("[checks]\nnegative_data_rejection.expected-statuses = [400, 401, 405, 413, 415, 422]\n")
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(settings)]
    command += ["run", f"{server}/docs.json", "--header", "Authorization: Bearer secret", "--checks", "all"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--seed", "1"]
    command += ["--generation-database", "none", "--no-shrink", "--no-color", "--continue-on-failure"]
    command += ["--report", "ndjson", "--report-ndjson-path", str(tmp_path / "events")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[:3000]}\n…\n{done.stdout[-1500:]}"
    asked = examples(tmp_path / "events")
    assert asked.pop("POST /predict") >= EXAMPLES
    assert {"GET /", "GET /contract", "GET /metrics", "GET /livez", "GET /healthz", "GET /readyz"} <= set(asked)
    assert min(asked.values()) > 1


def examples(events):
    """How many requests each operation was sent, by schemathesis' own account."""
    count = Counter()
    for line in events.open():
        if line.startswith('{"ScenarioFinished"'):
            told = json.loads(line)["ScenarioFinished"]["recorder"]
            count[told["label"]] += len(told.get("cases", ()))  # none where there was no example
    return count


def test_no_malformed_value_gets_a_prediction_or_a_number_that_is_none(server):
    """Promise 17."""
    good = {field.name: field.example for field in FIELDS}
    cases = malformed(CONTRACT_OF_ALL, good, body_bytes=Limits().body_bytes)
    assert len(cases) > 100
    for case, said in zip(cases, load.ask(f"{server}/predict", [c.body for c in cases], token="secret"), strict=True):
        assert 400 <= said.status < 500, f"{case.name}: {said}"
        assert json.loads(said.body, parse_constant=pytest.fail)["error"]


def test_the_example_of_the_description_is_answered_as_it_says(server):
    said = json.loads(get(server, "/docs.json"))
    examples = said["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    bodies = [json.dumps(examples[name]["value"]).encode() for name in ("one", "many")]
    one, many = (json.loads(one.body) for one in load.ask(f"{server}/predict", bodies, token="secret"))
    assert set(one) == set(said["components"]["schemas"]["Answer"]["required"])
    assert many[0]["probability"] == one["probability"]


def test_a_whole_number_may_be_written_as_a_fraction_of_nothing():
    decoder = Decoder(CONTRACT_OF_ALL, most_rows=10)
    good = {field.name: field.example for field in FIELDS}
    row = decoder.decode(json.dumps({**good, "count": 3.0, "floor": -2.0}).encode()).rows[0]
    assert (row["count"], type(row["count"]), row["floor"]) == (3, int, -2)
    for wrong in (3.5, 1e300, 2.0**63):
        with pytest.raises(Refused, match="'count' must be a whole number, not a fraction"):
            decoder.decode(json.dumps([good, {**good, "count": wrong}]).encode())


def test_fields_kinds_and_nulls_are_those_of_the_contract():
    said = document(CONTRACT_OF_ALL, (), "r", most_rows=7, token=False)
    row = said["components"]["schemas"]["Row"]
    assert row["required"] == ["amount", "count", "online", "channel", "at"]
    assert row["additionalProperties"] is False
    types = {name: schema["type"] for name, schema in row["properties"].items()}
    assert types["count"] == "integer"
    assert types["floor"] == ["integer", "null"]
    assert types["at"] == "string"
    assert row["properties"]["amount"]["examples"] == [12.5]
    assert "security" not in said


@pytest.mark.parametrize(
    ("task", "told", "expected"),
    [
        ("regression", {"prediction": 1.5}, {"prediction", "release", "request_id"}),
        ("binary", {"prediction": 1, "probability": 0.5}, {"prediction", "probability", "release", "request_id"}),
        ("binary", {"prediction": 1}, {"prediction", "release", "request_id"}),
    ],
)
def test_an_answer_is_described_as_the_release_gives_it(task, told, expected):
    described = answer(small(task=task), told)
    assert set(described["required"]) == expected
    assert described["properties"]["prediction"] == ({"type": "number"} if task == "regression" else {"enum": [0, 1]})
