"""Loaded into the user's pytest process: writes which tests ran, how they ended, and which features they called.

It also computes the views once more on the sampled rows it is given, in that other process, where strings hash
otherwise: a value that depends on the order of a set, or on what was imported before, differs there.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops.declare import recording

REPORT, REPLAY, GIVEN = "MLOPS_TEST_REPORT", "MLOPS_TEST_REPLAY", "MLOPS_TEST_GIVEN"
MARKS = {"data": "mlops_source", "model": "mlops_model", "service": "mlops_model"}
"""By gate, the mark that says of which source or model a test is."""

_tests: dict[str, dict[str, Any]] = {}
_errors: list[dict[str, Any]] = []
_skipped: list[dict[str, Any]] = []
_elsewhere: list[str] = []


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out the tests of other subjects; a mark that names nothing there is, is an error and no skip."""
    if GIVEN not in os.environ:
        return
    given = json.loads(Path(os.environ[GIVEN]).read_text(encoding="utf-8"))
    kept = []
    for item in items:
        names, problem = _marked(item, given)
        if problem:
            _errors.append({"id": item.nodeid, "message": problem})
        elif names is None or names & set(given["marks"]):
            kept.append(item)
        else:
            _elsewhere.append(item.nodeid)
    items[:] = kept


def _marked(item: pytest.Item, given: dict[str, Any]) -> tuple[set[str] | None, str]:
    """The subjects that a test is marked with (None: all), and what is wrong with its marks."""
    mine, known = MARKS[given["on"]], given["known"]
    marks = [mark for name in set(MARKS.values()) for mark in item.iter_markers(name)]
    if not marks:
        return None, ""
    wrong = sorted({mark.name for mark in marks} - {mine})
    if wrong:
        return set(), f"is marked {wrong[0]}; tests of this gate are marked {mine}"
    names = {str(name) for mark in marks for name in mark.args}
    strange = sorted(names - set(known))
    if strange or not names:
        said = f"names {strange[0]!r}" if strange else "names nothing"
        return set(), f"its mark {mine} {said}; there are {', '.join(known)}"
    return names, ""


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
        "asserted": False,
    }
    _tests[item.nodeid] = known
    with recording() as inside:
        result = yield
    known["called"] = sorted(inside)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Notes whether a failure is an assertion's: an expected failure that did not fail counts as one."""
    report = yield
    if report.failed and call.when == "call":
        said = (AssertionError, pytest.fail.Exception)
        _tests[item.nodeid]["asserted"] = call.excinfo is None or call.excinfo.errisinstance(said)
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes how a test ended: the worst of set-up, call and tear-down."""
    known = _tests.get(report.nodeid)
    if known is None:
        return
    if report.failed:
        # An error in the tear-down tells less than what the test itself said.
        if known["outcome"] != "failed":
            known.update(outcome="failed", message=_crash(report.longrepr))
    elif report.skipped:
        expected = getattr(report, "wasxfail", None)
        said = _crash(report.longrepr) if expected is None else f"fails as expected: {expected or 'no reason given'}"
        known.update(outcome="skipped", message=said)
    elif report.when == "call" and known["outcome"] == "not run":
        known["outcome"] = "passed"


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Notes a file that cannot be collected, or that skips itself."""
    if report.skipped:
        _skipped.append({"id": report.nodeid, "message": _crash(report.longrepr)})
    if report.failed:
        _errors.append({"id": report.nodeid, "message": _crash(report.longrepr)})


def pytest_sessionfinish() -> None:
    """Writes the report."""
    answers = _replayed()
    report = {
        "tests": list(_tests.values()),
        "errors": _errors,
        "skipped": _skipped,
        "elsewhere": len(_elsewhere),
        "replayed": answers,
    }
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
