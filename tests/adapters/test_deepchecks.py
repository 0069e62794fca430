from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops.adapters import deepchecks as adapter
from mlops.adapters.deepchecks import Deepchecks
from mlops.errors import OutsideError


@dataclass
class Job:
    train: pd.DataFrame
    checks: list[dict[str, Any]]
    test: pd.DataFrame | None = None
    described: dict[str, Any] = field(default_factory=dict)


def job(frame: pd.DataFrame, *checks: dict[str, Any]) -> Job:
    described: dict[str, Any] = dict.fromkeys(("label", "task", "index", "timestamp", "prediction"))
    words = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name].dtype)]
    described |= {"features": list(frame), "categorical": words, "probabilities": [], "classes": 0, "seed": 1}
    return Job(frame, list(checks), described=described)


NULLS = {"check": "MixedNulls", "conditions": [["add_condition_different_nulls_less_equal_to", {}]]}
SINGLE = {"check": "IsSingleValue", "conditions": [["add_condition_not_single_value", {}]]}


@pytest.fixture(scope="module")
def deepchecks(tmp_path_factory):
    with Deepchecks(tmp_path_factory.mktemp("scratch")) as process:
        yield process


LEAK = {"check": "FeatureLabelCorrelation", "conditions": [["add_condition_feature_pps_less_than", {}]]}
CONFLICTS = {
    "check": "ConflictingLabels",
    "conditions": [["add_condition_ratio_of_conflicting_labels_less_or_equal", {}]],
}


def test_what_was_measured_comes_with_the_column_that_is_the_worst(deepchecks):
    frame = pd.DataFrame({"noise": [1, 2, 3, 4, 4] * 20, "leak": [0, 1] * 50, "label": [0, 1] * 50})
    asked = job(frame, LEAK, CONFLICTS)
    asked.described |= {"features": ["noise", "leak"], "label": "label", "task": "binary"}
    leak, conflicts = deepchecks.run(asked)
    assert (leak.column, leak.value) == ("leak", 1.0)
    assert (conflicts.column, conflicts.value) == ("", 0.0)


def test_a_job_is_answered_check_by_check_in_its_order(deepchecks):
    frame = pd.DataFrame({"word": ["a", "b", None, "null", "None"] * 20, "n": range(100)})
    nulls, single = deepchecks.run(job(frame, NULLS, SINGLE))
    assert (nulls.check, nulls.conditions[0].category) == ("MixedNulls", "FAIL")
    assert (single.check, single.conditions[0].category) == ("IsSingleValue", "PASS")


def test_a_check_that_crashes_leaves_the_others_to_run(deepchecks):
    frame = pd.DataFrame({"n": range(100)})
    crashed, single = deepchecks.run(job(frame, {"check": "NoSuchCheck", "conditions": []}, SINGLE))
    assert "NoSuchCheck" in crashed.error
    assert single.conditions


def test_a_job_that_cannot_be_understood_is_an_error_in_every_answer(deepchecks):
    broken = job(pd.DataFrame({"n": range(5)}), SINGLE, NULLS)
    broken.described["features"] = ["there is no such column"]
    assert [bool(answer.error) for answer in deepchecks.run(broken)] == [True, True]


def test_closing_does_not_wait_for_the_job_that_runs(tmp_path):
    """Ctrl-C must not last as long as the slowest check."""
    columns = {f"n{number}": range(20_000) for number in range(60)}
    slow = job(pd.DataFrame(columns), *[{"check": "FeatureFeatureCorrelation", "conditions": []}] * 40)
    process = Deepchecks(tmp_path)
    process.wait()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(process.run, slow)
        while process._lock.acquire(blocking=False):
            process._lock.release()
            time.sleep(0.01)
        time.sleep(0.3)
        assert not running.done(), "the job must be long for this test to mean something"
        process.close()
        answers = running.result(timeout=10)
    assert all(answer.error for answer in answers)
    assert process.run(slow)[0].error, "what was closed does not start again"


def test_a_process_that_dies_is_an_error_in_every_answer_and_the_next_job_runs(tmp_path):
    frame = job(pd.DataFrame({"n": range(100)}), SINGLE)
    with Deepchecks(tmp_path) as process:
        process.wait()
        os.killpg(process.process_id, signal.SIGKILL)
        [answer] = process.run(frame)
        assert "ended or hung" in answer.error
        assert not process.run(frame)[0].error


def test_closing_ends_the_process_and_leaves_nothing_behind(tmp_path):
    process = Deepchecks(tmp_path)
    process.wait()
    number = process.process_id
    process.close()
    process.close()
    assert not _alive(number)
    assert list(tmp_path.iterdir()) == []


def test_it_dies_with_the_process_that_started_it(tmp_path):
    program = (
        "import pathlib, sys, time; from mlops.adapters.deepchecks import Deepchecks\n"
        "d = Deepchecks(pathlib.Path(sys.argv[1])); d.wait(); print(d.process_id, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    number = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until = time.monotonic() + 10
    while _alive(number) and time.monotonic() < until:
        time.sleep(0.1)
    assert not _alive(number)


def test_an_environment_that_cannot_be_made_is_an_outside_error(tmp_path, monkeypatch):
    monkeypatch.setattr(adapter, "command", lambda: [sys.executable, "-c", "raise SystemExit('no index')"])
    with Deepchecks(tmp_path) as process, pytest.raises(OutsideError) as error:
        process.run(job(pd.DataFrame({"n": [1]}), SINGLE))
    assert "no index" in error.value.message
    assert "python -m mlops.adapters.deepchecks" in error.value.next_step
    assert error.value.exit_code == 4


def test_every_pin_is_exact_and_names_no_address():
    header = adapter.SCRIPT.read_text().split("# ///")[1]
    pins = re.findall(r'#   "([^"]+)"', header)
    assert len(pins) > 100
    assert all(re.fullmatch(r"[A-Za-z0-9_.\-]+==[0-9][A-Za-z0-9.+\-]*(; .+)?", pin) for pin in pins)


def _alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
