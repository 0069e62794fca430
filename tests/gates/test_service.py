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
    findings = service.did_not_boot("the server ended", "Traceback\n  File\nlast words\n", subject="m_v1")
    assert [f.check for f in findings][: len(service.CHECKS)] == list(service.CHECKS)
    assert findings[0].message == "the server ended: last words"
    assert findings[0].detail.startswith("Traceback")
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


def test_a_load_is_told_in_plain_words_beside_the_champions():
    _, latency, throughput = service.load({**GOOD, "qps": 1234.0}, Load(), subject="m", champion={"p99_ms": 8.0})
    assert latency.message == (
        "8 clients at once, 100 requests: 99 in 100 within 10 ms, the champion's 99 in 100 within 8 ms; "
        "limit 99 in 100 within 250 ms"
    )
    assert throughput.message == "8 clients at once, 100 requests: 1,234 a second; limit 20 a second"


def test_a_load_without_a_request_did_not_run():
    """Promise 2."""
    assert set(outcomes(service.load({"requests": 0.0}, Load(), subject="m")).values()) == {Outcome.NOT_RUN}


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(1.6, 2.1, Outcome.FAIL), (1.2, 2.1, Outcome.PASS), (0.8, 1.1, Outcome.PASS), (1.5, 1.5, Outcome.PASS)],
)
def test_one_that_is_surely_slower_than_the_champion_fails_with_the_interval(low, high, outcome):
    beside = {"slower": (low + high) / 2, "slower_low": low, "slower_high": high}
    _, latency, _ = service.load({**GOOD, **beside}, Load(slower=1.5), subject="m", champion=GOOD)
    assert latency.outcome is outcome
    assert f"95 % interval {low:.2f} to {high:.2f}" in latency.message
    assert ("slower in [tool.mlops.load]" in latency.next_step) == (outcome is Outcome.FAIL)


def test_without_a_champion_nothing_is_said_of_one():
    _, latency, _ = service.load(GOOD, Load(), subject="m")
    assert "champion" not in latency.message
