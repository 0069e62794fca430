"""The last report is kept, and written in any format later; a run that ended early leaves none."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from mlops import exhibits as values
from mlops.errors import NothingToDo, OutsideError, UsageError
from mlops.reports import as_json
from mlops.steps import report as step
from mlops.verdict import Outcome, Record, Report
from mlops.workspace import open_workspace
from tests import small
from tests.reports.reports import EVERY, FINE, FLOOR, UNSURE, exhibits, report


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


def put(folder, name: str, whole, shown=None):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(as_json.render(whole, shown))
    return file


def of_model(name: str, *findings, **more):
    """The report of a job that judged one model."""
    whole = report(*findings)
    (first, judged) = whole.records
    verdict = dataclasses.replace(judged.verdict, subject=name)
    return dataclasses.replace(
        whole, records=(first, dataclasses.replace(judged, subject=name, verdict=verdict)), **more
    )


def test_reports_of_several_jobs_are_one_and_the_worst_verdict_counts(tmp_path):
    put(tmp_path, "a/report.json", of_model("churn_v2", FINE, releases=("churn_v2-aa",)), exhibits())
    put(tmp_path, "b/report.json", of_model("fraud_v1", FLOOR, releases=(), errors=("it broke",)))
    put(tmp_path, "c.json", of_model("churn_v2", UNSURE, FINE, releases=("churn_v2-aa",)))
    whole, shown = step.merged([tmp_path])
    assert [record.name for record in whole.records] == [
        "snapshot:customers",
        "check-model:churn_v2",
        "check-model:fraud_v1",
    ]
    assert [str(verdict.outcome) for verdict in whole.verdicts] == ["insufficient", "fail"]
    assert (whole.releases, whole.errors) == (("churn_v2-aa",), ("it broke",))
    assert dict(shown) == exhibits()


def test_what_jobs_of_several_commands_found_reads_as_one_run(tmp_path):
    """Jobs come to their end in any order, and are read by their files' names."""
    for name, command, ran in (
        ("a", "check-data", ("check-data",)),
        ("b", "package", ("package", "check-service")),
        ("c", "train", ("train", "check-model")),
    ):
        put(
            tmp_path,
            f"{name}.json",
            Report(command=command, records=tuple(Record(step=one, subject="") for one in ran)),
        )
    whole, _ = step.merged([tmp_path])
    assert whole.command == "run"
    assert [record.step for record in whole.records] == [
        "check-data",
        "train",
        "check-model",
        "package",
        "check-service",
    ]
    assert step.merged([tmp_path / "a.json"])[0].command == "check-data"


def test_a_model_whose_job_died_has_not_run_and_does_not_pass(tmp_path):
    """Promise 2, a part."""
    put(tmp_path, "r.json", of_model("churn_v2", FINE))
    assert step.merged([tmp_path], ["churn_v2"])[0].outcome is Outcome.PASS
    whole, _ = step.merged([tmp_path], ["churn_v2", "fraud_v1"])
    assert whole.outcome is Outcome.FAIL
    assert whole.verdicts[-1].findings[0].message.startswith("no job reported on fraud_v1")


def test_a_report_in_json_comes_back_but_for_numbers_that_json_lacks():
    odd = dataclasses.replace(EVERY[0], measured=math.inf, interval=(-math.inf, math.inf))
    whole = report(odd, *EVERY[1:])
    back, shown = as_json.read(as_json.render(whole, exhibits()))
    assert shown == exhibits()
    plain = dataclasses.replace(odd, measured=None, interval=None)
    assert back == report(plain, *EVERY[1:])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"records": [1]}', '{"records": [{"step": 1}], "command": "run"}'])
def test_a_file_that_is_no_report_is_named(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UsageError, match=r"r\.json is no report of mlops"):
        step.merged([tmp_path / "r.json"])


def test_no_report_at_all_is_never_a_pass(tmp_path):
    with pytest.raises(NothingToDo, match="there is no report in"):
        step.merged([tmp_path])
    with pytest.raises(OutsideError, match="cannot be read"):
        step.merged([tmp_path / "gone.json"])


def test_the_lineage_of_what_was_judged_goes_from_sources_to_the_place(bank):
    workspace = small.opened(bank)
    whole = of_model("fraud_v2", FLOOR, releases=("fraud_v2-aa",), deployed={"fraud_v2-aa": "staging"})
    made = {box.name: box for box in step.boxes(workspace, whole, {"spend_v2"})}
    assert {name: box.reads for name, box in made.items()} == {
        "payments": (),
        "spend_v2": ("payments",),
        "fraud_v2": ("payments", "spend_v2"),
        "fraud_v2-aa": ("fraud_v2",),
        "staging": ("fraud_v2-aa",),
    }
    assert (made["spend_v2"].mark, made["fraud_v2"].mark) == ("changed", "refused")
