"""The ledger of a run that was killed, of one without a server, and of two at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops.adapters.ledger import Ledger
from mlops.recording import Push, Recorder
from mlops.serving.integrity import verify
from mlops.verdict import Outcome, Record
from tests import small

PUSH = Push(command="run", commit="c" * 40, dirty=False)


@pytest.fixture(autouse=True)
def _no_other_ledger(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def whole(released):
    """The release that an uninterrupted run makes."""
    return released[1].report.releases


def started(root):
    command = [sys.executable, "-m", "mlops", "run", "--json"]
    return subprocess.Popen(command, cwd=root, env=small.variables(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def kill_once(root: Path, there) -> None:
    """Start a run and kill it as soon as `there` says so."""
    process = started(root)
    deadline = time.monotonic() + 120
    while not there() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was over before it could be killed"


def statuses(root: Path) -> dict[str, str]:
    ledger = Ledger(root / ".mlops", "shop")
    return {run.info.run_id: run.info.status for run in ledger.client.search_runs([ledger.experiment])}


def some(folder: Path, pattern: str):
    return lambda: folder.exists() and next(folder.glob(pattern), None) is not None


MOMENTS = {
    "the run is in the ledger": lambda home: some(home, "run-*.json"),
    "the bento is being built": lambda home: some(home / "scratch", "package-*"),
    "the bento is booted": lambda home: some(home / "scratch", "bento-*/bento"),
    "the release is being placed": lambda home: some(home / "releases", ".*.tmp"),
    "the release is live": lambda home: some(home / "environments", "staging/churn/pointer.json"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_is_told_as_killed_and_the_next_one_ends_as_if_nothing_had_happened(moment, whole, tmp_path):
    """Promise 12, some of its points."""
    root = small.churn(tmp_path / "shop")
    home = root / ".mlops"
    kill_once(root, MOMENTS[moment](home))
    for release in home.glob("releases/churn*"):
        verify(release)
    known = list(home.glob("run-*.json"))
    left = [json.loads(marker.read_bytes())["run"] for marker in known]
    ran = small.go(root)
    assert not ran.errors, ran
    assert ran.report.releases == whole
    found = {p.name for p in (home / "releases").iterdir() if not p.name.startswith(".")}
    assert found == set(whole)
    after = statuses(root)
    assert "RUNNING" not in after.values()
    assert [after[run] for run in left if run in after] == ["KILLED"] * len(set(left) & set(after))
    assert not list(home.glob("run-*.json"))


def test_two_runs_at_once_end_well_with_one_release(whole, tmp_path):
    """Promise 13, a part."""
    root = small.churn(tmp_path / "shop")
    both = [started(root), started(root)]
    ended = [(process.communicate(timeout=200), process.returncode) for process in both]
    assert [code for _, code in ended] == [0, 0], [out[1].decode() + out[0].decode() for out, _ in ended]
    assert {p.name for p in (root / ".mlops" / "releases").iterdir() if not p.name.startswith(".")} == set(whole)
    ledger = Ledger(root / ".mlops", "shop")
    assert len(ledger.client.search_model_versions("name = 'churn'")) == 1


def test_a_ledger_out_of_reach_is_one_sentence_and_the_next_run_goes_on(tmp_path, whole):
    root = small.churn(tmp_path / "shop")
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = small.mlops(root, "run", **away)
    assert done.returncode == 4, done.stderr
    assert done.stderr.count("127.0.0.1:9 failed") == 1
    assert "Traceback" not in done.stderr
    assert "unset MLFLOW_TRACKING_URI" in done.stderr
    assert not (root / ".mlops" / "environments").exists()
    ran = small.go(root)
    assert not ran.errors, ran
    assert ran.report.releases == whole


def test_what_was_killed_under_another_ledger_is_none_of_this_ones_business(tmp_path):
    workspace = small.opened(small.churn(tmp_path / "shop"))
    workspace.home.mkdir()
    marker = workspace.home / "run-999999999.json"
    marker.write_text(json.dumps({"run": "a" * 32, "pid": 999999999, "ledger": "http://elsewhere"}))
    recorder = Recorder(workspace, PUSH)
    recorder.record(Record(step="train", subject="m", started=time.time()))
    recorder.close(Outcome.PASS)
    assert marker.exists()


def test_a_run_that_the_ledger_has_lost_does_not_stop_the_next_one(tmp_path):
    workspace = small.opened(small.churn(tmp_path / "shop"))
    workspace.home.mkdir()
    uri = f"sqlite:///{workspace.home / 'mlflow.db'}"
    marker = workspace.home / "run-999999999.json"
    marker.write_text(json.dumps({"run": "a" * 32, "pid": 999999999, "ledger": uri}))
    recorder = Recorder(workspace, PUSH)
    recorder.warm()
    recorder.close(Outcome.PASS)
    assert not marker.exists()


def test_records_are_written_in_order_as_children_of_the_run(tmp_path):
    workspace = small.opened(small.churn(tmp_path / "shop"))
    recorder = Recorder(workspace, PUSH)
    for name in ("one", "two"):
        recorder.record(Record(step=name, subject="m", started=time.time()))
    recorder.close(Outcome.FAIL, "it rained")
    ledger = Ledger(workspace.home, "shop")
    runs = {run.data.tags.get("mlops.step", "push"): run for run in ledger.client.search_runs([ledger.experiment])}
    assert set(runs) == {"push", "one", "two"}
    assert runs["one"].data.tags["mlflow.parentRunId"] == runs["push"].info.run_id
    assert runs["push"].data.tags["mlops.error"] == "it rained"
    assert runs["push"].info.status == "FAILED"
    assert runs["push"].data.tags["mlops.commit"] == "c" * 40


def test_a_recorder_that_was_never_needed_opens_nothing(tmp_path):
    workspace = small.opened(small.churn(tmp_path / "shop"))
    Recorder(workspace, PUSH).close(Outcome.PASS)
    assert not (workspace.home / "mlflow.db").exists()


def test_the_executor_is_the_workflow_run_where_there_is_one(monkeypatch):
    from mlops.recording import executor

    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for name, value in {"SERVER_URL": "https://github.com", "REPOSITORY": "a/b", "RUN_ID": "7"}.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    assert executor() == "https://github.com/a/b/actions/runs/7"
    monkeypatch.delenv("GITHUB_RUN_ID")
    assert executor().endswith(f"@{os.uname().nodename}")
