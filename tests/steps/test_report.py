"""The last report is kept, and written in any format later; a run that ended early leaves none."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from mlops import exhibits as values
from mlops.errors import NothingToDo
from mlops.steps import report as step
from mlops.workspace import open_workspace
from tests import small
from tests.reports.reports import EVERY, exhibits, report


@pytest.fixture
def workspace(project):
    return open_workspace(project({}))


def test_a_report_comes_back_as_it_was_kept(workspace):
    whole = report(*EVERY)
    step.keep(workspace, whole)
    assert step.last(workspace) == whole


def test_numbers_that_json_lacks_come_back(workspace):
    odd = dataclasses.replace(EVERY[0], measured=math.inf, interval=(-math.inf, math.inf))
    step.keep(workspace, report(odd))
    (found,) = step.last(workspace).verdicts[0].findings
    assert (found.measured, found.interval) == (math.inf, (-math.inf, math.inf))


def test_without_one_it_says_what_to_do(workspace):
    with pytest.raises(NothingToDo, match="there is no report"):
        step.last(workspace)
    step.keep(workspace, report())
    step.begin(workspace)
    with pytest.raises(NothingToDo):
        step.last(workspace)


def test_exhibits_come_from_the_store_and_what_was_pruned_is_left_out(workspace):
    (name, shown), *_ = exhibits().items()
    whole = report()
    digest = workspace.objects.put(values.encode(shown))
    judged = dataclasses.replace(whole.records[1], outputs={"exhibits": digest})
    gone = dataclasses.replace(whole.records[0], outputs={"exhibits": "ab" * 32})
    found = step.shown(workspace, dataclasses.replace(whole, records=(gone, judged)))
    assert dict(found) == {name: shown}


def test_a_command_that_judges_writes_the_reports_that_are_wanted_and_keeps_the_last(shop):
    small.edit(shop / "pyproject.toml", "floor = 0.6", "floor = 0.99")
    (shop / "old.html").write_text("an earlier run's")
    ran = small.mlops(shop, "check-model", "--report", "old.html", "--report", "out/r.md", "--report", "r.json")
    assert ran.returncode == 1, ran.stderr
    page = (shop / "old.html").read_text()
    assert "mlops check-model: fail</h1>" in page
    assert (shop / "out/r.md").read_text().startswith("## ✗ mlops check-model: fail\n")
    assert json.loads((shop / "r.json").read_text())["outcome"] == "fail"
    later = small.mlops(shop, "report")
    assert later.stdout.strip().endswith("report.html")
    assert (shop / ".mlops/report.html").read_text() == page
    assert small.mlops(shop, "report", "r.txt").returncode == 0
    assert (shop / "r.txt").read_text().strip() == ran.stdout.strip()


def test_a_suffix_without_a_format_is_told_before_anything_is_computed(shop):
    ran = small.mlops(shop, "check-model", "--report", "r.pdf")
    assert (ran.returncode, "check-model " in ran.stderr) == (2, False)
    assert ".html, .md, .json, .txt" in ran.stderr
