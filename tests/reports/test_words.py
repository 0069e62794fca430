"""Numbers, seconds and findings read alike in every format."""

from __future__ import annotations

import pytest

from mlops.reports.words import evidence, number, remark, seconds, word
from mlops.verdict import Finding, Outcome, Record, Severity
from tests.reports.reports import FLOOR, report


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.312512, "0.3125"), (9874, "9,874"), (9874.0, "9,874"), (-3.0, "-3"), (12345.678, "12,346"), (1e-7, "1e-07"),
        (0, "0"), ("never", "never"), (None, ""), (float("nan"), "nan"), (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_a_number_has_four_digits_that_matter(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12 s"), (8.06, "8.1 s"), (125, "2 min 5 s"), (59.99, "60.0 s"), (60, "1 min 0 s")]
)
def test_seconds_are_as_exact_as_a_person_wants(value, text):
    assert seconds(value) == text


def test_evidence_gives_value_interval_threshold_and_count():
    assert evidence(FLOOR) == "measured 0.3125 [0.28, 0.34], threshold 0.4, n 9,874"


def test_evidence_names_the_first_rows_only():
    found = Finding(check="c", outcome=Outcome.FAIL, message="m", rows=tuple(range(20)))
    assert evidence(found) == "rows 0, 1, 2, 3, 4, 5, 6, 7, …"


@pytest.mark.parametrize(
    ("outcome", "severity", "text"),
    [
        (Outcome.FAIL, Severity.FAIL, "FAIL"),
        (Outcome.FAIL, Severity.RETRAIN, "RETRAIN"),
        (Outcome.FAIL, Severity.WARN, "WARN"),
        (Outcome.NOT_RUN, Severity.FAIL, "NOT RUN"),
        (Outcome.INSUFFICIENT, Severity.FAIL, "INSUFFICIENT"),
        (Outcome.PASS, Severity.WARN, "PASS"),
    ],
)
def test_a_finding_is_called_by_what_it_does(outcome, severity, text):
    assert word(Finding(check="c", outcome=outcome, severity=severity, message="m")) == text


def test_a_remark_counts_what_ran_fired_and_was_skipped():
    judged = report().records[1]
    assert remark(judged) == "fail: 3 checks, 1 failed, 1 retrain, 1 skipped"


def test_a_remark_is_the_steps_own_summary_where_it_has_one():
    assert remark(Record(step="train", subject="m", facts={"summary": "a forest"})) == "a forest"
    assert remark(Record(step="snapshot", subject="s", metrics={"rows": 1200.0})) == "1,200 rows"
    assert remark(Record(step="deploy", subject="s")) == ""
