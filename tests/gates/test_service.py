from __future__ import annotations

import pytest

from mlops.config import Load
from mlops.gates import service
from mlops.verdict import Outcome, Verdict

GOOD = {"requests": 100.0, "errors": 0.0, "p99_ms": 10.0, "qps": 500.0}


def outcomes(findings):
    return {finding.check: finding.outcome for finding in findings}


def test_a_service_that_did_not_boot_fails_and_nothing_else_counts_as_run():
    """Promise 2."""
    findings = service.did_not_boot("the server ended", "last words", subject="m_v1")
    assert [f.check for f in findings] == list(service.CHECKS)
    assert "last words" in findings[0].message
    assert Verdict(gate="check-service", subject="m_v1", findings=findings).outcome is Outcome.FAIL


def test_no_golden_request_is_not_a_pass():
    """Promise 2."""
    assert service.golden([], n=0, subject="m").outcome is Outcome.NOT_RUN
    assert service.golden([], n=3, subject="m").outcome is Outcome.PASS
    assert service.golden(["it differs"], n=3, subject="m").outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("status", "outcome"), [(400, "pass"), (422, "pass"), (200, "fail"), (500, "fail"), (0, "fail")]
)
def test_a_malformed_request_must_be_refused(status, outcome):
    """Promise 17."""
    assert service.malformed({"NaN": status, "null": 422}, subject="m").outcome == outcome


def test_no_malformed_request_is_not_a_pass():
    """Promise 2."""
    assert service.malformed({}, subject="m").outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("measured", "failing"),
    [
        ({}, set()),
        ({"errors": 1.0}, {"service.errors"}),
        ({"p99_ms": 250.1}, {"service.latency"}),
        ({"p99_ms": float("nan")}, {"service.latency"}),
        ({"qps": 19.9}, {"service.throughput"}),
    ],
)
def test_a_load_is_held_to_its_limits(measured, failing):
    found = outcomes(service.load({**GOOD, **measured}, Load(), subject="m"))
    assert {check for check, outcome in found.items() if outcome is not Outcome.PASS} == failing


def test_a_load_without_a_request_did_not_run():
    """Promise 2."""
    assert set(outcomes(service.load({"requests": 0.0}, Load(), subject="m")).values()) == {Outcome.NOT_RUN}
