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


DECIDED = {Outcome.PASS, Outcome.FAIL, Outcome.OVERRIDDEN}
KINDS = list(itertools.product(Outcome, Severity))


def lawful(findings):
    """The law in other words: the first line that fits."""
    outcomes = {outcome for outcome, _ in findings}
    stopping = {outcome for outcome, severity in findings if severity is Severity.FAIL}
    lines = [
        (stopping & {Outcome.FAIL, Outcome.NOT_RUN}, Outcome.FAIL),
        (not outcomes - {Outcome.SKIPPED, Outcome.NOT_RUN}, Outcome.NOT_RUN),
        (outcomes <= {Outcome.SKIPPED, Outcome.NOT_RUN, Outcome.INSUFFICIENT}, Outcome.INSUFFICIENT),
        (Outcome.INSUFFICIENT in stopping, Outcome.INSUFFICIENT),
        (Outcome.OVERRIDDEN in outcomes, Outcome.OVERRIDDEN),
        (True, Outcome.PASS),
    ]
    return next(outcome for fits, outcome in lines if fits)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_the_law_holds_for_every_combination_of_outcomes_and_severities(count):
    """Promise 2: every multiset of up to three findings (1,330 verdicts), against the law as a table."""
    for kinds in itertools.combinations_with_replacement(KINDS, count):
        findings = tuple(Finding(check="c", outcome=o, message="m", severity=s) for o, s in kinds)
        judged = Verdict(gate="g", subject="s", findings=findings)
        assert judged.outcome is lawful(kinds), kinds
        if judged.accepted:
            assert {o for o, _ in kinds} & DECIDED, "a pass needs a check that decided"
            assert not {o for o, s in kinds if s is Severity.FAIL} - {Outcome.PASS, Outcome.OVERRIDDEN, Outcome.SKIPPED}


def test_an_override_is_shown_as_one_even_among_passes():
    judged = verdict(Outcome.PASS, Outcome.OVERRIDDEN, Outcome.SKIPPED)
    assert judged.outcome is Outcome.OVERRIDDEN
    assert judged.accepted
    assert [f.outcome for f in judged.overridden] == [Outcome.OVERRIDDEN]
    assert verdict(Outcome.OVERRIDDEN, Outcome.FAIL).outcome is Outcome.FAIL


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
