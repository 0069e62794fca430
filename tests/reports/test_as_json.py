"""The report for machines: all that the other formats tell, and the computed outcomes with it."""

from __future__ import annotations

import json

from mlops.reports.as_json import render
from mlops.verdict import Report
from tests.reports.reports import LEFT_OUT, report


def test_it_holds_outcome_records_and_findings():
    whole = json.loads(render(report()))
    assert whole["outcome"] == "fail"
    judged = whole["records"][1]
    assert judged["verdict"]["outcome"] == "fail"
    first = judged["verdict"]["findings"][0]
    assert (first["check"], first["measured"], first["interval"]) == ("model.floor", 0.3125, [0.28, 0.34])
    assert first["next_step"] == "collect more rows"
    assert whole["deployed"] == {"churn_v2-aaaa": "staging"}


def test_only_skips_are_written_as_not_run():
    whole = json.loads(render(report(LEFT_OUT)))
    assert (whole["outcome"], whole["records"][1]["verdict"]["outcome"]) == ("not run", "not run")


def test_numbers_that_json_lacks_do_not_break_it():
    from mlops.verdict import Finding, Outcome

    found = Finding(check="c", outcome=Outcome.FAIL, message="m", measured=float("nan"))
    assert json.loads(render(report(found)))["records"][1]["verdict"]["findings"][0]["measured"] is None


def test_a_report_of_nothing_is_not_run():
    assert json.loads(render(Report(command="run", records=())))["outcome"] == "not run"
