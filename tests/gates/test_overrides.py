"""What a person may let pass, for whom and how long; and what nobody may."""

from __future__ import annotations

import itertools
from datetime import date

import pytest

from mlops.gates.overrides import in_force, overridable, overridden
from mlops.gates.severities import FINAL, GATES, known_checks
from mlops.verdict import Finding, Outcome, Override, Severity, Verdict

TODAY = date(2026, 11, 21)


def override(gate: str = "model.floor", subject: str = "", **more) -> Override:
    values = {"until": "2026-12-01", "reason": "because", "who": "ada", "at": "2026-11-20T10:00:00+00:00", **more}
    return Override(gate=gate, subject=subject, **values)


def verdict(*findings: Finding, gate: str = "check-model", subject: str = "churn_v2") -> Verdict:
    return Verdict(gate=gate, subject=subject, findings=findings)


def finding(check: str = "model.floor", outcome: Outcome = Outcome.FAIL, **more) -> Finding:
    return Finding(check=check, outcome=outcome, message="below the floor", **more)


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.INSUFFICIENT, Outcome.NOT_RUN])
def test_an_overridden_finding_keeps_what_it_found_and_says_who_let_it_pass(outcome):
    judged = overridden(verdict(finding(outcome=outcome)), [override()])
    assert judged.outcome is Outcome.OVERRIDDEN
    assert (judged.findings[0].found, judged.findings[0].override) == (outcome, override())
    assert judged.findings[0].message == "below the floor"


def test_another_no_of_the_same_gate_still_stops():
    judged = overridden(verdict(finding(), finding("model.leakage")), [override()])
    assert judged.outcome is Outcome.FAIL


@pytest.mark.parametrize("gate", ["model.floor", "check-model"])
@pytest.mark.parametrize("subject", ["", "churn", "churn_v2"])
def test_a_check_or_a_whole_gate_of_a_model_its_family_or_all_is_covered(gate, subject):
    assert overridden(verdict(finding()), [override(gate, subject)]).accepted


@pytest.mark.parametrize(
    ("gate", "subject"),
    [("model.champion", ""), ("check-data", ""), ("model", ""), ("model.floor", "fraud"), ("model.floor", "churn_v1")],
)
def test_nothing_else_is_covered(gate, subject):
    assert not overridden(verdict(finding()), [override(gate, subject)]).accepted


def test_a_feature_is_named_by_its_finding_for_features_are_judged_together():
    one = finding("features.look-ahead", subject="spend_v1")
    other = finding("features.look-ahead", subject="risk_v1")
    judged = overridden(verdict(one, other, gate="check-features", subject=""), [override("check-features", "spend")])
    assert [f.outcome for f in judged.findings] == [Outcome.OVERRIDDEN, Outcome.FAIL]


def test_a_warning_and_a_pass_stay_what_they_are():
    warned = finding("model.segment", severity=Severity.WARN)
    fine = finding("model.finite", Outcome.PASS)
    judged = verdict(warned, fine)
    assert overridden(judged, [override("check-model")]) == judged
    assert not overridable(judged)


@pytest.mark.parametrize("check", FINAL)
def test_what_proves_that_the_judged_model_is_served_cannot_be_overridden(check):
    judged = verdict(finding(check))
    assert not overridable(judged)
    everything = [override(gate) for gate in (check, *GATES, judged.gate)]
    assert overridden(judged, everything).outcome is Outcome.FAIL


@pytest.mark.parametrize("check", [name for name in known_checks() if name not in FINAL])
def test_every_other_check_can_be(check):
    assert overridden(verdict(finding(check)), [override(check)]).outcome is Outcome.OVERRIDDEN


def test_a_gate_without_findings_cannot_be_overridden():
    """Promise 2: there is no judgement to override."""
    assert overridden(verdict(), [override("check-model")]).outcome is Outcome.NOT_RUN


def test_it_holds_through_its_last_day_and_no_longer():
    assert in_force([override(until="2026-11-21")], TODAY)
    assert not in_force([override(until="2026-11-20")], TODAY)


def test_the_newest_event_of_a_gate_and_subject_counts_in_whatever_order_they_come():
    first, ended = override(at="2026-11-01"), override(at="2026-11-02", ended=True)
    again = override(at="2026-11-03", reason="once more")
    for order in itertools.permutations([first, ended]):
        assert in_force(order, TODAY) == ()
    for order in itertools.permutations([first, ended, again]):
        assert in_force(order, TODAY) == (again,)
    assert set(in_force([first, override(subject="churn", at="2026-11-02", ended=True)], TODAY)) == {first}
