"""Loaded into the user's pytest process: writes which tests ran, how they ended, and which features they called.

It also computes the views once more on the sampled rows it is given, in that other process, where strings hash
otherwise: a value that depends on the order of a set, or on what was imported before, differs there.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops.declare import recording

REPORT, REPLAY = "MLOPS_TEST_REPORT", "MLOPS_TEST_REPLAY"

_tests: dict[str, dict[str, Any]] = {}
_errors: list[dict[str, Any]] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Notes what a test calls, its fixtures included."""
    file, line, _ = item.location
    known = {
        "id": item.nodeid,
        "file": file,
        "line": (line or 0) + 1,
        "outcome": "not run",
        "message": "",
        "called": [],
    }
    _tests[item.nodeid] = known
    with recording() as inside:
        result = yield
    known["called"] = sorted(inside)
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes how a test ended: the worst of set-up, call and tear-down."""
    known = _tests.get(report.nodeid)
    if known is None:
        return
    if report.failed:
        known.update(outcome="failed", message=_crash(report.longrepr))
    elif report.skipped:
        known.update(outcome="skipped", message=_crash(report.longrepr))
    elif report.when == "call" and known["outcome"] == "not run":
        known["outcome"] = "passed"


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Notes a file that cannot be collected."""
    if report.failed:
        _errors.append({"id": report.nodeid, "message": _crash(report.longrepr)})


def pytest_sessionfinish() -> None:
    """Writes the report."""
    answers = _replayed()
    report = {"tests": list(_tests.values()), "errors": _errors, "replayed": answers}
    Path(os.environ[REPORT]).write_text(json.dumps(report), encoding="utf-8")


def _crash(longrepr: Any) -> str:
    """The line and the message of a failure, without the traceback."""
    crash = getattr(longrepr, "reprcrash", None)
    if crash is not None:
        return f"{crash.path}:{crash.lineno}: {crash.message}"
    if isinstance(longrepr, tuple):
        path, line, message = longrepr
        return f"{path}:{line}: {message}"
    lines = [line for line in str(longrepr).splitlines() if line.strip()]
    return "\n".join(lines[-6:])


def _replayed() -> dict[str, str]:
    """View to the error it raised here; an empty text where its result was written."""
    given = os.environ.get(REPLAY)
    if not given:
        return {}
    import pandas as pd

    answers: dict[str, str] = {}
    for one in json.loads(Path(given).read_text(encoding="utf-8")):
        try:
            view = getattr(importlib.import_module(one["module"]), one["name"])
            result = view.function(pd.read_parquet(one["sample"]))
            result.to_parquet(one["result"], index=False)
            answers[one["name"]] = ""
        except Exception as error:  # noqa: BLE001 - the user's function may raise anything; it becomes a finding
            answers[one["name"]] = f"{type(error).__name__}: {error}"
    return answers
