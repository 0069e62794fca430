"""The ledger in a real MLflow: what a person finds there, and what a dead server does to us."""

from __future__ import annotations

import dataclasses
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from mlops.adapters.ledger import Ledger
from mlops.contract import Contract, Field
from mlops.errors import OutsideError
from mlops.release import Event, Manifest
from mlops.verdict import Finding, Outcome, Override, Record, Verdict

FIELDS = (Field(name="amount", kind="float", nullable=False), Field(name="channel", kind="string", nullable=True))
CONTRACT = Contract(
    model="fraud_v1",
    task="binary",
    metric="roc_auc",
    label="fraud",
    classes=(0, 1),
    fields=FIELDS,
    stored=(),
    computed=(),
    columns=(),
)


def manifest(name="fraud_v1-aaaa"):
    return Manifest(
        release=name,
        model="fraud_v1",
        form="onnx",
        task="binary",
        metric="roc_auc",
        commit="c" * 40,
        dirty=False,
        code="d",
        environment="e",
        snapshot={"payments": "ab" * 32},
        features={"spend_v1": "ff"},
        metrics={"roc_auc": 0.8},
        params={"depth": 3},
        evidence={"check-model:fraud_v1": "pass"},
        files={},
    )


def event(to, action="deploy"):
    return Event(
        at=datetime.now(UTC).isoformat(),
        action=action,
        environment="staging",
        family="fraud",
        to=to,
        previous="",
        who="ann",
        reason="because",
        outcome="done",
        seconds=0.5,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real MLflow server on a free loopback port."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--backend-store-uri",
        f"sqlite:///{folder}/server.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


@pytest.fixture(params=["sqlite", "server"])
def ledger(request, tmp_path, monkeypatch):
    if request.param == "server":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue("server"))
    else:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Ledger(tmp_path / ".mlops", f"shop-{request.param}")


@pytest.fixture
def payload(tmp_path):
    folder = tmp_path / "payload"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"onnx")
    return folder


def test_a_step_is_a_child_run_with_parameters_metrics_datasets_and_verdict(ledger):
    parent = ledger.begin("run", {"mlops.commit": "abc"})
    finding = Finding(check="floor", outcome=Outcome.FAIL, message="0.3 is below 0.4")
    record = Record(
        step="check-model",
        subject="fraud_v1",
        key="k" * 64,
        params={"depth": 3},
        metrics={"roc_auc": 0.3},
        started=time.time(),
        seconds=1.5,
        inputs={"assemble:fraud_v1/train": "ab" * 32},
        outputs={"predictions": "cd" * 32},
        code={"fraud_v1": "ef" * 32},
        memory={"own": 300_000_000, "children": 0},
        facts={"champion": "fraud_v1-old", "champion_metrics": {"roc_auc": 0.4}},
        verdict=Verdict(gate="check-model", subject="fraud_v1", findings=(finding,)),
    )
    run = ledger.client.get_run(ledger.record(record, parent, {"mlops.commit": "abc"}))
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.tags["mlops.key"] == "k" * 64
    measured = {"roc_auc": 0.3, "champion.roc_auc": 0.4, "memory.own_mb": 300.0, "memory.children_mb": 0.0}
    assert run.data.metrics == {**measured, "seconds": 1.5}
    assert run.data.tags["mlops.champion"] == "fraud_v1-old"
    assert run.data.tags["mlops.code.fraud_v1"] == "ef" * 32
    assert run.data.tags["mlops.input.assemble_fraud_v1/train"] == "ab" * 32
    assert run.data.tags["mlops.output.predictions"] == "cd" * 32
    assert run.data.params == {"depth": "3"}
    assert run.inputs.dataset_inputs[0].dataset.name == "assemble:fraud_v1/train"
    assert run.info.status == "FAILED"
    assert "0.3 is below 0.4" in run.data.tags["mlops.fired"]
    assert run.info.end_time - run.info.start_time == 1500


def test_a_release_is_a_model_version_with_signature_metrics_and_evidence(ledger, payload):
    parent = ledger.begin("run", {})
    version, run = ledger.register(manifest(), CONTRACT, payload, parent, {})
    found = ledger.client.get_model_version("fraud", version)
    assert found.tags["mlops.release"] == "fraud_v1-aaaa"
    assert found.tags["mlops.gate.check-model:fraud_v1"] == "pass"
    logged = ledger.client.get_logged_model(found.source.removeprefix("models:/"))
    assert {m.key: m.value for m in logged.metrics} == {"roc_auc": 0.8}
    names = {artifact.path for artifact in ledger.client.list_logged_model_artifacts(logged.model_id)}
    assert names >= {"MLmodel", "manifest.json", "model.onnx"}
    assert ledger.client.get_run(run).inputs.dataset_inputs[0].dataset.name == "payments"


def test_a_model_in_the_ledger_cannot_be_loaded_by_mlflows_own_loaders(ledger, payload):
    """They execute code; ours is the only way in."""
    import mlflow

    parent = ledger.begin("run", {})
    version, _ = ledger.register(manifest(), CONTRACT, payload, parent, {})
    source = ledger.client.get_model_version("fraud", version).source
    mlflow.set_tracking_uri(ledger.uri)
    with pytest.raises(mlflow.exceptions.MlflowException, match="python_function"):
        mlflow.pyfunc.load_model(source)


def test_registering_the_same_release_again_keeps_its_version(ledger, payload):
    parent = ledger.begin("run", {})
    first = ledger.register(manifest(), CONTRACT, payload, parent, {})
    assert ledger.register(manifest(), CONTRACT, payload, parent, {}) == first
    assert ledger.register(manifest("fraud_v1-bbbb"), CONTRACT, payload, parent, {})[0] != first[0]


def test_an_environments_alias_follows_deployments_and_rollbacks(ledger, payload):
    parent = ledger.begin("run", {})
    first, _ = ledger.register(manifest("fraud_v1-cccc"), CONTRACT, payload, parent, {})
    second, _ = ledger.register(manifest("fraud_v1-dddd"), CONTRACT, payload, parent, {})
    ledger.event(event("fraud_v1-cccc"))
    ledger.event(event("fraud_v1-dddd"))
    assert str(ledger.client.get_model_version_by_alias("fraud", "staging").version) == second
    ledger.event(event("fraud_v1-cccc", action="rollback"))
    assert str(ledger.client.get_model_version_by_alias("fraud", "staging").version) == first
    runs = ledger.client.search_runs([ledger.experiment], "tags.`mlops.action` = 'rollback'")
    assert (runs[0].data.tags["mlops.who"], runs[0].data.tags["mlops.reason"]) == ("ann", "because")


def test_a_dead_server_is_an_outside_error_that_says_where_we_looked(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(OutsideError, match=r"127\.0\.0\.1:9") as caught:
        Ledger(tmp_path, "shop")
    assert caught.value.exit_code == 4
    assert "MLFLOW_TRACKING_URI" in caught.value.next_step


def test_opening_a_ledger_wishes_nothing_for_the_next_one(tmp_path, monkeypatch):
    """MLflow writes the URI into the environment, where the next project would take it for the user's."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    first, second = (Ledger(tmp_path / name / ".mlops", name) for name in ("first", "second"))
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert first.uri != second.uri


def test_a_database_whose_making_was_killed_is_made_anew(tmp_path, monkeypatch):
    """Promise 12, a part: MLflow would find some of its tables there, and refuse to make the others."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = tmp_path / ".mlops"
    Ledger(home, "shop")
    with sqlite3.connect(home / "mlflow.db") as database:
        database.execute("drop table alembic_version")
        database.execute("drop table experiments")
    (home / "mlflow.db.unfinished").touch()
    program = "import sys; from pathlib import Path; from mlops.adapters.ledger import Ledger; "
    program += "Ledger(Path(sys.argv[1]), 'shop').begin('run', {})"
    done = subprocess.run([sys.executable, "-c", program, str(home)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (home / "mlflow.db.unfinished").exists()


def test_overrides_and_their_ends_come_back_as_they_were_recorded(ledger):
    now = datetime.now(UTC)
    first = Override(
        gate="model.floor",
        subject="fraud",
        until=str(now.date()),
        reason="wörds, 'quotes' and more",
        who="ada@lab",
        at=now.isoformat(timespec="microseconds"),
    )
    long_ago = dataclasses.replace(first, subject="", at=(now - timedelta(days=200)).isoformat(timespec="microseconds"))
    ended = dataclasses.replace(first, ended=True, at=(now + timedelta(seconds=1)).isoformat(timespec="microseconds"))
    for one in (first, long_ago, ended):
        ledger.override(one)
    assert set(ledger.overrides()) == {first, long_ago, ended}
    assert set(ledger.overrides(days=91)) == {first, ended}
