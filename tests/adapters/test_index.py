"""The index remembers records by key, for several processes at once."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from mlops.adapters.index import Entry, Index
from mlops.verdict import Finding, Outcome, Record, Verdict


@pytest.fixture
def index(tmp_path):
    index = Index(tmp_path / "index.db")
    yield index
    index.close()


def test_a_record_comes_back_whole(index):
    finding = Finding(check="c", outcome=Outcome.PASS, message="m", interval=(0.1, 0.2), rows=(1, "a"), measured=0.15)
    record = Record(
        step="train",
        subject="fraud_v1",
        key="k",
        outputs={"model": "ab"},
        metrics={"r2": 0.5},
        verdict=Verdict(gate="g", subject="s", findings=(finding,)),
    )
    index.add(record)
    assert index.find("k") == record
    assert index.find("other") is None
    index.forget("k")
    assert index.find("k") is None


def test_the_newest_record_of_a_step_is_found(index):
    for key in ("first", "second"):
        index.add(Record(step="build-features", subject="spend_v1", key=key))
    assert index.latest("build-features", "spend_v1").key == "second"
    assert index.latest("build-features", "other_v1") is None


def test_a_record_that_is_used_again_is_the_newest(index):
    """Data that went back to an earlier state gives the earlier record, and its features are the ones to publish."""
    for key in ("first", "second"):
        index.add(Record(step="build-features", subject="spend_v1", key=key))
    time.sleep(0.005)
    index.touch("first")
    assert index.latest("build-features", "spend_v1").key == "first"


def test_processes_that_write_at_once_lose_nothing(index, tmp_path):
    """PROMISES 13, a part: four processes, fifty records each."""
    code = (
        "import sys; from pathlib import Path\n"
        "from mlops.adapters.index import Index; from mlops.verdict import Record\n"
        "index = Index(Path(sys.argv[1]))\n"
        "for n in range(50): index.add(Record(step='s', subject='', key=f'{sys.argv[2]}-{n}'))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "index.db"), str(n)]) for n in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert len({record.key for record in index.records()}) == 200


def test_asking_it_imports_nothing_heavy():
    code = "import sys, mlops.adapters.index; print([m for m in ('pandas', 'mlflow', 'numpy') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_what_is_newer_stays_the_latest_when_the_clock_goes_back(tmp_path):
    index = Index(tmp_path / "index.db")
    index.add(Record(step="build-features", subject="spend_v1", key="a" * 64))
    with index._lock:  # as if the clock had been a day ahead, and was set back since
        index._database.execute("update records set at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+1 day')")
    index.add(Record(step="build-features", subject="spend_v1", key="b" * 64))
    assert index.latest("build-features", "spend_v1").key == "b" * 64
    index.touch("a" * 64)
    assert index.latest("build-features", "spend_v1").key == "a" * 64
    index.touch("b" * 64)
    assert index.latest("build-features", "spend_v1").key == "b" * 64
    index.close()


def test_ten_thousand_records_make_no_question_longer(tmp_path):
    """Promise 30, without a clock: SQLite counts its own work, which is the same beside ten records and beside many."""
    few, many = (_work(tmp_path / f"{count}.db", count) for count in (10, 10_000))
    assert many.keys() == few.keys()
    assert {name: work for name, work in many.items() if work > few[name] + 2} == {}


def _work(path, count):
    """Hundreds of SQLite's instructions that each question takes."""
    index = Index(path)
    facts = {"text": "x" * 2000}  # what a record of a real step weighs
    index.take(Entry(record=Record(step="train", subject=f"m{i % 50}", key=f"k{i}", facts=facts)) for i in range(count))
    spent = [0]
    index._database.set_progress_handler(lambda: spent.__setitem__(0, spent[0] + 1), 100)
    questions = {
        "find": lambda: index.find("k7"),
        "knows": lambda: index.knows(["k7"]),
        "latest": lambda: index.latest("train", "m7"),
        "last": lambda: index.last("train", "m7"),
        "touch": lambda: index.touch("k7"),
        "add": lambda: index.add(Record(step="train", subject="new", key="new")),
        "forget": lambda: index.forget("k7"),
    }
    took = {}
    for name, ask in questions.items():
        spent[0] = 0
        ask()
        took[name] = spent[0]
    index.close()
    return took
