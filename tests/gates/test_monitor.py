"""Which wish a look at a live release ends in, from what labels, inputs and answers say."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.gates.monitor import judge_drift, judge_labels, judge_performance, judge_predictions, no_performance
from mlops.gates.severities import apply
from mlops.release import Manifest
from mlops.statistics.decline import Level, decline
from mlops.statistics.drift import Shift
from mlops.verdict import Finding, Outcome, Severity, Verdict


def manifest() -> Manifest:
    empty: dict[str, Any] = {}
    words = dict.fromkeys(("form", "task", "metric", "commit", "code", "environment"), "")
    tables = dict.fromkeys(("snapshot", "features", "metrics", "params", "evidence", "files"), empty)
    return Manifest(release="churn_v1-1", model="churn_v1", dirty=False, **words, **tables)


def judged(now: float, *, error: float = 0.004, floor: float | None = 0.6, fewest: int = 5_000) -> tuple[Finding, ...]:
    found = decline(
        Level(value=now, error=error, n=5_000), Level(value=0.8, error=0.004, n=5_000), margin=0.01, tolerated=0.05
    )
    return judge_performance(
        "roc_auc", found, release=manifest(), rows="new rows", margin=0.01, floor=floor, fewest=fewest
    )


def verdict(*findings: Finding) -> Verdict:
    return Verdict(gate="monitor", subject="churn", findings=apply(findings, {}))


def test_a_model_that_is_as_good_as_it_was_passes_and_asks_for_nothing():
    found = verdict(*judged(0.8))
    assert (found.outcome, found.retrain) == (Outcome.PASS, False)


def test_a_decline_beyond_the_margin_asks_for_a_retrain_and_stops_nothing():
    found = verdict(*judged(0.7))
    assert (found.outcome, found.retrain) == (Outcome.PASS, True)
    assert "mlops retrain churn" in found.fired[0].next_step


def test_a_model_below_its_floor_stops_and_asks_for_a_retrain():
    found = verdict(*judged(0.55))
    assert (found.outcome, found.retrain) == (Outcome.FAIL, True)
    barely = verdict(*judged(0.795, floor=0.81))  # no decline, and yet below
    assert (barely.outcome, barely.retrain) == (Outcome.FAIL, True)


@pytest.mark.parametrize(
    "found", [judged(0.77, error=0.05), judged(0.8, fewest=49), no_performance("none came", "wait")]
)
def test_labels_that_cannot_tell_are_insufficient_and_ask_for_nothing(found):
    """PROMISES 2: too few labels are no pass, and no reason to train either."""
    said = verdict(*found)
    assert (said.outcome, said.retrain) == (Outcome.INSUFFICIENT, False)


def test_where_a_decline_is_sure_an_undecided_floor_does_not_hide_what_is_to_be_done():
    found = verdict(*judged(0.59, error=0.02, floor=0.6))
    assert (found.outcome, found.retrain) == (Outcome.PASS, True)
    assert {f.check: f.outcome for f in found.findings}["monitor.floor"] is Outcome.INSUFFICIENT


FAR = Shift(column="amount", effect=0.6, p=1e-9, kind="values", n=2_000, interval=(0.5, 0.7))
NEAR = Shift(column="visits", effect=0.02, p=0.9, kind="values", n=2_000)


def test_a_shift_asks_for_a_retrain_unless_labels_of_these_rows_say_that_the_model_bears_it():
    [moved, *_] = apply(judge_drift([FAR, NEAR], release=manifest(), ranked=None, held=False, origin="rows"), {})
    assert (moved.subject, moved.severity, moved.outcome) == ("amount", Severity.RETRAIN, Outcome.FAIL)
    [borne, *_] = apply(judge_drift([FAR, NEAR], release=manifest(), ranked=None, held=True, origin="rows"), {})
    assert (borne.severity, borne.outcome) == (Severity.WARN, Outcome.FAIL)
    assert "labels of these rows say that the model bears it" in borne.message


def test_too_few_rows_show_no_drift_and_no_calm():
    few = Shift(column="amount", effect=0.6, p=1e-9, kind="values", n=900)
    [found] = apply(judge_drift([few], release=manifest(), ranked=None, held=False, origin="rows"), {})
    assert (found.outcome, found.severity) == (Outcome.INSUFFICIENT, Severity.WARN)
    assert judge_predictions(few, release="r").outcome is Outcome.INSUFFICIENT


def test_answers_that_moved_are_told_to_a_person():
    assert judge_predictions(FAR, release="r").severity is Severity.WARN
    assert judge_predictions(NEAR, release="r").outcome is Outcome.PASS


def test_a_label_that_the_model_cannot_answer_asks_for_a_retrain_and_a_commoner_one_only_warns():
    new = judge_labels(None, label="plan", release=manifest(), unknown=3, examples=("gold",))
    assert (new.severity, new.outcome) == (Severity.RETRAIN, Outcome.FAIL)
    assert "gold" in new.message
    moved = judge_labels(FAR, label="plan", release=manifest(), unknown=0, examples=())
    assert (moved.severity, moved.outcome) == (Severity.WARN, Outcome.FAIL)
