from __future__ import annotations

import pytest

from mlops.config import Load
from mlops.gates.load import CHECKS, Beside, judge, table
from mlops.statistics.blocks import Ratio
from mlops.verdict import Outcome

GOOD = {"requests": 100.0, "errors": 0.0, "mean_ms": 8.0, "p50_ms": 7.0, "p95_ms": 9.0, "p99_ms": 10.0, "qps": 500.0,
        "memory_mb": 210.0}  # fmt: skip
FIRST = Beside(why="no release is live to be compared with")


def slower(low, high, pairs=8):
    return Ratio(value=(low + high) / 2, low=low, high=high, pairs=pairs)


def judged(measured=GOOD, beside=FIRST, **limits):
    return {one.check: one for one in judge(measured, beside, Load(**limits), subject="m")}


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
    found = judged({**GOOD, **measured})
    assert {check for check, one in found.items() if one.outcome is Outcome.FAIL} == failing
    assert list(found) == list(CHECKS)


def test_a_load_is_told_in_plain_words_beside_the_champions():
    beside = Beside(release="m_v1-1", figures={**GOOD, "p99_ms": 8.0, "qps": 1234.0}, slower=slower(0.9, 1.1))
    found = judged(beside=beside)
    assert found["service.latency"].message == (
        "8 clients at once, 100 requests: 99 in 100 within 10 ms, the champion's 99 in 100 within 8 ms; "
        "limit 99 in 100 within 250 ms"
    )
    assert found["service.throughput"].message == (
        "8 clients at once, 100 requests: 500 a second, the champion's 1,234 a second; limit 20 a second"
    )
    assert found["service.champion"].message == (
        "on average 1.00 times the latency (interval 0.90 to 1.10, 8 turns each) of m_v1-1; limit 1.5 times"
    )


def test_a_load_without_a_request_did_not_run():
    """Promise 2."""
    assert {one.outcome for one in judged({"requests": 0.0}).values()} == {Outcome.NOT_RUN}


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (1.6, 2.1, Outcome.FAIL),
        (1.2, 2.1, Outcome.INSUFFICIENT),
        (0.8, 1.1, Outcome.PASS),
        (1.5, 1.5, Outcome.PASS),
        (0.0, float("inf"), Outcome.INSUFFICIENT),
    ],
)
def test_slower_than_the_champion_passes_only_where_it_is_sure_not_to_be(low, high, outcome):
    """Promise 2: what cannot be told is not a pass."""
    found = judged(beside=Beside(release="m_v1-1", figures=GOOD, slower=slower(low, high)))["service.champion"]
    assert found.outcome is outcome
    assert found.interval == (low, high)
    assert bool(found.next_step) == (outcome is not Outcome.PASS)


def test_what_nobody_notices_passes_however_many_times_the_champions_it_is():
    beside = Beside(release="m_v1-1", figures=GOOD, slower=slower(3.0, 4.0))
    quick = judged({**GOOD, "mean_ms": 2.5}, beside)["service.champion"]
    assert quick.outcome is Outcome.PASS
    assert quick.message.endswith("limit 1.5 times, or up to 5 ms (it is 2.5 ms)")
    assert judged({**GOOD, "mean_ms": 2.5}, beside, unnoticed_ms=0.0)["service.champion"].outcome is Outcome.FAIL


def test_without_a_champion_the_comparison_is_skipped_with_the_reason():
    found = judged()["service.champion"]
    assert (found.outcome, found.message) == (Outcome.SKIPPED, "no release is live to be compared with")


def test_memory_is_held_to_a_limit_where_one_is_declared():
    assert judged()["service.memory"].outcome is Outcome.SKIPPED
    assert "memory_mb in [tool.mlops.load]" in judged()["service.memory"].message
    assert judged(memory_mb=300)["service.memory"].outcome is Outcome.PASS
    assert judged(memory_mb=200)["service.memory"].outcome is Outcome.FAIL


def test_the_table_shows_both_side_by_side():
    beside = Beside(release="m_v1-1", figures={**GOOD, "qps": 1234.5}, slower=slower(0.9, 1.1))
    shown = table(GOOD, beside)
    assert shown.columns == ("under load", "challenger", "champion m_v1-1")
    assert ("requests per second", "500", "1,234") in shown.rows
    assert ("requests per second", "10,690") in table({**GOOD, "qps": 10_690.4}, FIRST).rows
    alone = table(GOOD, FIRST)
    assert alone.columns == ("under load", "challenger")
    assert alone.caption == "Not compared: no release is live to be compared with."
    assert all(len(row) == 2 for row in alone.rows)
