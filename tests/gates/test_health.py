from __future__ import annotations

import pytest

from mlops.gates.health import Stored, Traffic, judge_disk, judge_ready, judge_stored, judge_traffic, judge_workers
from mlops.verdict import Outcome, Severity


def traffic(requests: int, **counts: int) -> dict[str, tuple[Outcome, Severity]]:
    counted = {"errors": 0, "refused": 0, "slow": 0, **counts}
    found = judge_traffic(
        Traffic(requests=requests, slow_ms=250, since="since noon", **counted), subject="a", errors=0.01, refusals=0.1
    )
    return {one.check.removeprefix("monitor."): (one.outcome, one.severity) for one in found}


def test_a_share_of_requests_fires_when_it_is_surely_above_its_limit():
    assert traffic(10_000, errors=200)["errors"] == (Outcome.FAIL, Severity.FAIL)
    assert traffic(10_000, refused=2_000)["refusals"] == (Outcome.FAIL, Severity.FAIL)
    assert traffic(10_000, slow=300)["latency"] == (Outcome.FAIL, Severity.FAIL)
    assert {outcome for outcome, _ in traffic(10_000, errors=50, refused=500, slow=50).values()} == {Outcome.PASS}


@pytest.mark.parametrize(("requests", "errors"), [(0, 0), (20, 0), (20, 1), (200, 4)])
def test_a_handful_of_requests_tells_nothing_and_stops_nothing(requests, errors):
    """PROMISES 2: what could not be judged is no pass."""
    assert traffic(requests, errors=errors)["errors"] == (Outcome.INSUFFICIENT, Severity.WARN)


def test_a_service_that_does_not_answer_is_named_with_its_next_step():
    gone = judge_ready(subject="churn", running=False, ready=False, address="")
    assert (gone.outcome, gone.message) == (Outcome.FAIL, "no worker runs")
    mute = judge_ready(subject="churn", running=True, ready=False, address="http://h:1")
    assert "http://h:1 does not answer /readyz" in mute.message
    assert "mlops rollback" in mute.next_step


@pytest.mark.parametrize(
    ("serving", "troubles", "wanted", "words"),
    [
        ({1: "b-1"}, {}, 1, "worker 1 serves b-1"),
        ({1: "a-1"}, {}, 2, "1 of 2 workers run"),
        ({1: "b-1"}, {1: "cannot be loaded"}, 1, "worker 1: cannot be loaded"),
    ],
)
def test_a_worker_that_did_not_follow_is_named(serving, troubles, wanted, words):
    found = judge_workers(subject="a", live="a-1", serving=serving, troubles=troubles, wanted=wanted)
    assert found.outcome is Outcome.FAIL
    assert words in found.message


def test_stored_features_that_are_gone_or_too_old_fire_and_those_nobody_can_judge_say_why():
    day = 86_400.0
    views = [
        Stored(view="gone", published=False),
        Stored(view="old", published=True, expired=0.9, ttl_seconds=day, age_seconds=3 * day),
        Stored(view="fresh", published=True, expired=0.1, ttl_seconds=day, age_seconds=60.0),
        Stored(view="timeless", published=True, age_seconds=3 * day),
    ]
    found = {one.subject: one for one in judge_stored(views, subject="a", limit=0.5)}
    assert [found[view.view].outcome for view in views] == [
        Outcome.FAIL,
        Outcome.FAIL,
        Outcome.PASS,
        Outcome.SKIPPED,
    ]
    assert "90% of the entities of old are past its time to live of 24 h, the newest row is 3 days old" in str(found)


def test_a_disk_that_is_nearly_full_is_told():
    assert judge_disk(int(5e8), limit_gb=1.0, place=".mlops").outcome is Outcome.FAIL
    assert judge_disk(int(5e9), limit_gb=1.0, place=".mlops").outcome is Outcome.PASS
