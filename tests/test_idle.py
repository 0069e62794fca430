"""A run that has nothing to do imports nothing heavy; whatever changes, the next one goes the long way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops import idle
from mlops.adapters.index import Index
from tests import small

ASKED = ("run", (), "deploy", "staging")


@pytest.fixture(scope="module")
def idled(released, tmp_path_factory):
    """The released project after a run that had nothing to do, and what that run left behind."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        root = tmp_path_factory.mktemp("idle") / "shop"
        shutil.copytree(released[0], root)
        ran = small.go(root)
        assert ran.computed == []
        return root, idle.Asked(root, *ASKED), ran


@pytest.fixture
def asked(idled, monkeypatch):
    """What was asked for, after a run that had nothing to do."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root, asked, ran = idled
    time.sleep(0.15)  # files that were written only now are not believed
    idle.remember(asked, small.opened(root), idle.scene(asked), ran.report)
    assert idle.recall(asked) is not None
    return asked


def test_the_report_is_the_one_that_the_long_way_gives(idled, asked):
    known = idle.recall(asked)
    assert [(r.name, r.key, r.outputs) for r in known.records] == [
        (r.name, r.key, r.outputs) for r in idled[2].report.records
    ]
    assert all(record.reused or record.step == "deploy" for record in known.records)
    assert known.releases == idled[2].report.releases


CHANGES = {
    "code": "models/churn.py",
    "data": "customers.csv",
    "settings": "pyproject.toml",
    "a schema": "features/customers.schema.yaml",
    "corrected labels": "reviews/labels-churn_v1.csv",
    "a new test": "tests/model/test_new.py",
    "the bento's settings": "bentofile.yaml",
    "a pointer": ".mlops/environments/staging/churn/pointer.json",
    "a history": ".mlops/environments/staging/churn/events.jsonl",
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_file_is_seen_though_its_size_and_time_are_as_they_were(asked, what):
    file = asked.root / CHANGES[what]
    there = file.exists()
    if there:
        before, found = file.read_bytes(), file.stat()
        file.write_bytes(before[:-1] + b" ")
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    try:
        assert idle.recall(asked) is None
    finally:
        if there:
            file.write_bytes(before)
        else:
            file.unlink()
            file.parent.rmdir()


def test_a_changed_release_is_seen(asked):
    file = next((asked.root / ".mlops" / "releases").rglob("contract.json"))
    file.write_bytes(file.read_bytes())
    assert idle.recall(asked) is None


def test_an_evicted_output_and_a_forgotten_record_are_seen(idled, asked):
    root, _, ran = idled
    digest = ran.record("train:churn_v1").outputs["model"]
    file = root / ".mlops" / "store" / digest[:2] / digest[2:]
    file.rename(root / ".mlops" / "away")
    assert idle.recall(asked) is None
    (root / ".mlops" / "away").rename(file)
    assert idle.recall(asked) is not None
    index = Index(root / ".mlops" / "index.db")
    entry = index.entry(ran.record("train:churn_v1").key)
    index.forget(entry.record.key)
    assert idle.recall(asked) is None
    index.take([entry])
    index.close()


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "MLOPS_SHARED_STORE", "PYTHONPATH"])
def test_another_variable_is_seen(asked, monkeypatch, name):
    monkeypatch.setenv(name, "elsewhere")
    assert idle.recall(asked) is None


def test_a_package_that_came_or_went_is_seen(asked, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path))
    assert idle.recall(asked) is None


def test_a_run_that_was_killed_is_told_of_the_long_way(asked):
    marker = asked.home / "run-1.json"
    marker.write_text("{}")
    assert idle.recall(asked) is None
    marker.unlink()


def test_who_asks_for_something_else_gets_no_other_s_answer(asked):
    for other in (
        ("run", ("churn_v1",), "deploy", "staging"),
        ("run", (), "register", None),
        ("run", (), "deploy", "production"),
    ):
        assert idle.recall(idle.Asked(asked.root, *other)) is None


def test_what_was_torn_is_no_answer(asked):
    asked.file.write_bytes(asked.file.read_bytes()[:300])
    assert idle.recall(asked) is None


def test_a_run_that_computed_something_leaves_nothing_behind(released, tmp_path):
    root = tmp_path / "shop"
    shutil.copytree(released[0], root)
    asked = idle.Asked(root, *ASKED)
    idle.remember(asked, small.opened(root), idle.scene(asked), released[1].report)
    assert not asked.file.exists()


def test_a_change_while_the_run_ran_leaves_nothing_behind(released, tmp_path):
    root = tmp_path / "shop"
    shutil.copytree(released[0], root)
    asked = idle.Asked(root, *ASKED)
    ran = small.go(root)
    before = idle.scene(asked)
    (root / "customers.csv").touch()
    time.sleep(0.15)
    idle.remember(asked, small.opened(root), before, ran.report)
    assert not asked.file.exists()


AGAIN = """
import sys
from mlops.cli import main
try:
    main(["run"])
except SystemExit as ended:
    print("CODE", ended.code, "HEAVY", sorted({"pandas", "sklearn", "mlflow", "mlops.actions"} & set(sys.modules)))
"""


def test_the_command_imports_nothing_heavy_when_nothing_has_changed(shop):
    """Promise 25, its cause."""

    def run():
        command = [sys.executable, "-c", AGAIN]
        search = small.variables(PYTHONPATH=str(Path(__file__).parents[1]))
        return subprocess.run(command, cwd=shop, env=search, capture_output=True, text=True, check=False)

    time.sleep(0.15)  # the copy was written only now, and is not believed
    first, second = run(), run()
    assert "CODE 0 HEAVY ['mlops.actions'" in first.stdout, first.stderr
    assert "CODE 0 HEAVY []" in second.stdout, second.stderr
    assert second.stdout.rpartition("CODE")[0] == first.stdout.rpartition("CODE")[0]
    assert sorted(second.stderr.splitlines()) == sorted(first.stderr.splitlines())
