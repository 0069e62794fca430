from __future__ import annotations

import pytest

from mlops.gates import service
from mlops.verdict import Outcome, Verdict


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
