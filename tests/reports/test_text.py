"""The report on a terminal says the verdict first, then what fired, why, and what to do."""

from __future__ import annotations

import dataclasses

import pytest

from mlops.reports.text import line, render
from mlops.verdict import Finding, Outcome, Report
from tests.reports.reports import EVERY, FINE, LEFT_OUT, LET_PASS, SEGMENT, report


def test_the_verdict_comes_first():
    assert render(report()).splitlines()[0] == "verdict: FAIL"
    assert render(report(FINE)).splitlines()[0] == "verdict: PASS"


def test_a_failing_finding_shows_message_evidence_and_next_step():
    lines = [text.strip() for text in render(report()).splitlines()]
    at = lines.index("FAIL         model.floor churn_v2: roc_auc is below the floor")
    assert lines[at + 1] == "measured 0.3125 [0.28, 0.34], threshold 0.4, n 9,874"
    assert lines[at + 2] == "next: collect more rows"


def test_what_did_not_fire_is_left_out():
    text = render(report())
    assert "first release" not in text
    assert "all answers are finite" not in text


def test_releases_and_where_they_live_are_named_with_their_quality():
    text = render(report())
    assert "release  churn_v2-aaaa  roc_auc 0.3125 on held-out rows" in text
    assert "live     staging: churn_v2-aaaa" in text


def test_a_gate_that_checked_nothing_says_that_this_is_no_pass():
    text = render(report(LEFT_OUT))
    assert text.startswith("verdict: NOT RUN")
    assert "nothing was checked, and that is not a pass" in text


def test_a_report_of_nothing_is_not_a_pass():
    assert render(Report(command="run", records=())) == "verdict: NOT RUN"


def test_a_message_of_several_lines_stays_on_one():
    found = Finding(check="c", outcome=Outcome.FAIL, message="first\n  second")
    assert "c: first second" in render(report(found))


def test_a_step_is_one_line_with_mark_name_time_and_remark():
    reused, judged = report().records
    assert line(reused) == "✓ snapshot        customers                   reused  600 rows"
    assert line(judged).startswith("✗ check-model     churn_v2                 1 min 15 s  fail: 3 checks")
    assert "\n" not in line(dataclasses.replace(judged, subject="x" * 60))


def test_what_was_let_pass_and_the_segment_are_told():
    text = render(report(SEGMENT, LET_PASS, FINE))
    assert text.startswith("verdict: OVERRIDDEN")
    assert (
        "overridden by ada@lab until 2026-12-01: the column is known at the request, see issue 12 (else: fail)" in text
    )
    assert "channel = 'online', measured 0.61, threshold 0.7, n 212, rows 3, 17, 44" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_gets_folded_lines_and_loses_no_word(width):
    long = dataclasses.replace(SEGMENT, message="a word and more " * 30)
    folded = render(report(*EVERY, long), width=width)
    assert max(map(len, folded.splitlines())) <= width
    assert folded.split() == render(report(*EVERY, long)).split()
