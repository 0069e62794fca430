"""A verdict fails closed (PROMISES 2)."""

from __future__ import annotations

import itertools

import pytest

from mlops.verdict import Finding, Outcome, Record, Report, Severity, Verdict


def verdict(*outcomes, severity=Severity.FAIL):
    findings = tuple(Finding(check="c", outcome=o, message="m", severity=severity) for o in outcomes)
    return Verdict(gate="g", subject="s", findings=findings)


@pytest.mark.parametrize("others", [(), (Outcome.PASS,), (Outcome.SKIPPED,), (Outcome.PASS, Outcome.SKIPPED)])
@pytest.mark.parametrize("bad", [Outcome.FAIL, Outcome.NOT_RUN])
def test_a_check_that_failed_or_did_not_run_fails_the_gate(bad, others):
    for order in itertools.permutations((bad, *others)):
        assert verdict(*order).outcome is Outcome.FAIL
        assert not verdict(*order).accepted


def test_nothing_checked_is_not_a_pass():
    """PROMISES 2."""
    assert verdict().outcome is Outcome.NOT_RUN
    assert verdict(Outcome.SKIPPED, Outcome.SKIPPED).outcome is Outcome.NOT_RUN
    assert not verdict(Outcome.SKIPPED).accepted


def test_insufficient_is_neither_pass_nor_fail():
    assert verdict(Outcome.PASS, Outcome.INSUFFICIENT).outcome is Outcome.INSUFFICIENT
    assert verdict(Outcome.FAIL, Outcome.INSUFFICIENT).outcome is Outcome.FAIL
    assert not verdict(Outcome.INSUFFICIENT).accepted


def test_a_warning_is_shown_and_does_not_stop():
    warned = verdict(Outcome.FAIL, severity=Severity.WARN)
    assert warned.accepted
    assert warned.fired


def test_value_skew_asks_for_retraining_and_does_not_stop():
    skewed = verdict(Outcome.FAIL, severity=Severity.RETRAIN)
    assert skewed.accepted
    assert skewed.retrain


def test_a_finding_without_a_reason_is_refused():
    with pytest.raises(ValueError, match="says nothing"):
        Finding(check="c", outcome=Outcome.SKIPPED, message="")


def test_the_worst_verdict_is_the_reports():
    def report(*verdicts):
        return Report(command="run", records=tuple(Record(step="s", subject="", verdict=v) for v in verdicts))

    assert report().outcome is Outcome.NOT_RUN
    assert report(verdict(Outcome.PASS), verdict(Outcome.INSUFFICIENT)).outcome is Outcome.INSUFFICIENT
    assert report(verdict(Outcome.FAIL), verdict(Outcome.INSUFFICIENT)).outcome is Outcome.FAIL
    assert report(verdict(Outcome.PASS)).outcome is Outcome.PASS
