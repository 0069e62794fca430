"""Canaries that are as good as the live release, and canaries that are not, out of a fixed seed."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from mlops.gates.canary import ALPHA, SHARES, Seen, judged, looked, not_ready, rebased
from mlops.serving.tally import Counts
from mlops.verdict import Outcome, Verdict


@dataclass(frozen=True)
class Arm:
    """How a release behaves: shares of requests, milliseconds, and the mean of its probabilities' logits."""

    errors: float = 0.005
    refused: float = 0.01
    non_finite: float = 0.0
    ms: float = 8.0
    logit: float = -2.0
    spread: float = 1.0


HEALTHY = Arm()


def answer(counts, arm, n, random):
    """`n` requests more."""
    errors, refused, non_finite, fine = random.multinomial(
        n, [arm.errors, arm.refused, arm.non_finite, 1 - arm.errors - arm.refused - arm.non_finite]
    )
    counts.requests += n
    counts.errors += int(errors)
    counts.refused += int(refused)
    counts.non_finite += int(non_finite)
    logits = random.normal(arm.logit, arm.spread, fine)
    add(counts.latency, np.floor(10 * np.log10(arm.ms / 1000 * random.lognormal(0, 0.4, fine))))
    add(counts.numbers, np.round(4 * logits))
    add(counts.labels, np.where(logits > 0, "1", "0"))


def add(into, values):
    for value, count in zip(*np.unique(values, return_counts=True), strict=True):
        key = str(value) if isinstance(value, str) else int(value)
        into[key] = into.get(key, 0) + int(count)


def watched(canary, random, *, live=HEALTHY, looks=20, n=50, beside=50):
    """What is seen after each look; one look every `n` + `beside` requests."""
    seen, mine, theirs = Seen(), Counts(), Counts()
    for _ in range(looks):
        answer(mine, canary, n, random)
        answer(theirs, live, beside, random)
        seen = looked(seen, mine, theirs)
        yield seen


def outcome(seen, check):
    return next(one for one in judged(seen, subject="v2") if one.check == check).outcome


def failed(seen):
    return [one.check for one in judged(seen, subject="v2") if one.outcome is Outcome.FAIL]


def test_at_most_one_healthy_canary_of_a_hundred_is_rolled_back():
    """Promise 5: 2,000 healthy canaries, looked at every 100 requests."""
    random = np.random.default_rng(5)
    wrong = sum(any(failed(seen) for seen in watched(HEALTHY, random)) for _ in range(2_000))
    assert wrong <= 20


def test_ten_times_as_many_errors_are_found_by_a_thousand_requests_of_each_arm():
    """Promise 5: errors 0.5 % → 5 %, in 99 of 100."""
    random = np.random.default_rng(6)
    found = sum(any(failed(seen) for seen in watched(Arm(errors=0.05), random)) for _ in range(200))
    assert found >= 198


@pytest.mark.parametrize(
    ("canary", "check"),
    [
        pytest.param(Arm(errors=0.05), "canary.errors", id="errors"),
        pytest.param(Arm(refused=0.1), "canary.refusals", id="a contract that refuses what the old one took"),
        pytest.param(Arm(non_finite=0.04), "canary.non-finite", id="no finite number"),
        pytest.param(Arm(ms=20.0), "canary.latency", id="two and a half times as slow"),
        pytest.param(Arm(logit=2.0), "canary.predictions", id="the classes have changed places"),
        pytest.param(Arm(spread=0.0), "canary.predictions", id="always the same probability"),
        pytest.param(Arm(logit=-30.0), "canary.predictions", id="never a positive"),
    ],
)
def test_a_fault_is_found_by_its_check_at_a_tenth_of_the_requests(canary, check):
    random = np.random.default_rng(7)
    for _ in range(5):
        *_, last = watched(canary, random, n=30, beside=270, looks=80)
        assert failed(last) == [check]


@pytest.mark.parametrize("canary", [Arm(ms=9.0), Arm(logit=-1.7), Arm(errors=0.0, refused=0.0), Arm(spread=1.1)])
def test_another_model_may_differ_a_little(canary):
    random = np.random.default_rng(8)
    assert not any(failed(seen) for seen in watched(canary, random, n=100, beside=900, looks=40))


def test_a_slower_answer_that_nobody_notices_is_no_fault():
    random = np.random.default_rng(9)
    quick, slower = Arm(ms=0.4), Arm(ms=1.2)
    assert not any(failed(seen) for seen in watched(slower, random, live=quick))


def test_what_strikes_both_arms_alike_rolls_nothing_back():
    random = np.random.default_rng(10)
    seen, mine, theirs = Seen(), Counts(), Counts()
    for look in range(60):
        arm = Arm(errors=0.6, ms=200.0) if 20 <= look < 40 else HEALTHY
        answer(mine, arm, 20, random)
        answer(theirs, arm, 180, random)
        seen = looked(seen, mine, theirs)
        assert failed(seen) == []


def test_no_data_is_not_success():
    for seen in (Seen(), looked(Seen(), Counts(), Counts())):
        findings = judged(seen, subject="v2")
        assert {one.outcome for one in findings} == {Outcome.INSUFFICIENT}
        assert Verdict(gate="deploy", subject="v2", findings=findings).outcome is Outcome.INSUFFICIENT


def test_a_hundred_requests_of_each_arm_are_the_least():
    random = np.random.default_rng(11)
    first, *_, last = watched(HEALTHY, random, n=60, beside=540, looks=4)
    assert outcome(first, "canary.errors") is Outcome.INSUFFICIENT
    assert {one.outcome for one in judged(last, subject="v2")} == {Outcome.PASS}


def test_findings_say_what_was_measured_of_how_many_and_how_sure_that_is():
    *_, last = watched(Arm(errors=0.05), np.random.default_rng(12))
    (worse,) = [one for one in judged(last, subject="v2") if one.outcome is Outcome.FAIL]
    assert worse.subject == "v2"
    assert worse.n == 1_000
    assert worse.measured == pytest.approx(0.05, abs=0.02)
    low, high = worse.interval
    assert 1.0 < low < 10 < high
    assert "(live 0." in worse.message
    assert "odds ratio" in str(worse.threshold)
    assert worse.next_step


def test_what_was_seen_survives_a_file():
    *_, seen = watched(HEALTHY, np.random.default_rng(13), looks=6)
    again = msgspec.json.decode(msgspec.json.encode(seen), type=Seen)
    assert judged(again, subject="v2") == judged(seen, subject="v2")
    assert again == seen


def test_what_only_the_live_release_was_asked_is_not_compared():
    """Held over a quiet night, gone on with while the network is down for both."""
    random = np.random.default_rng(15)
    *_, seen = watched(HEALTHY, random, looks=6)
    mine, theirs = Counts(), Counts()
    mine.add(seen.canary)
    theirs.add(seen.live)
    answer(theirs, HEALTHY, 10_000, random)
    seen = rebased(seen, mine, theirs)
    answer(mine, Arm(errors=0.6), 50, random)
    answer(theirs, Arm(errors=0.6), 50, random)
    assert failed(looked(seen, mine, theirs)) == []


def test_a_worker_that_died_and_a_canary_that_is_not_ready_are_failures():
    *_, seen = watched(HEALTHY, np.random.default_rng(14), looks=6)
    assert {one.check for one in judged(seen, subject="v2", died=1) if one.outcome is Outcome.FAIL} == {
        "canary.workers"
    }
    (finding,) = not_ready("golden.json was changed", subject="v2")
    assert finding.outcome is Outcome.FAIL
    assert "got no request" in finding.message


def test_the_level_is_split_over_the_checks():
    assert sum(SHARES.values()) == pytest.approx(1.0)
    assert ALPHA <= 0.01
