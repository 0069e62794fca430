"""Outcomes joined to decisions: which count, from when on, and what is found on the way."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from mlops.errors import ConfigError
from mlops.gates.outcomes import Rule, joined
from mlops.verdict import Outcome, Severity
from tests.serving.releases import contract

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RULE = Rule(source="complaints", contract=contract(), delay=timedelta(days=7))


def decided(*rows):
    """Decisions given as (request id, row, arm, days ago)."""
    return pd.DataFrame(
        {
            "at": pd.to_datetime([NOW - timedelta(days=days) for *_, days in rows], utc=True),
            "request_id": [one[0] for one in rows],
            "row": [one[1] for one in rows],
            "arm": [one[2] for one in rows],
            "prediction": "0",
            "request.customer_id": [10 + place for place in range(len(rows))],
        }
    )


def outcomes(**columns):
    return pd.DataFrame(columns)


def by_check(findings):
    return {one.check: one for one in findings}


def said(rows):
    return [None if pd.isna(label) else label for label in rows.label]


def known(rows):
    return {name: label for name, label in zip(rows.request_id, rows.label, strict=True) if not pd.isna(label)}


def test_labels_are_joined_by_request_id_for_every_arm():
    log = decided(("a", 0, "live", 9), ("b", 0, "canary", 9), ("b", 0, "shadow", 9), ("c", 0, "live", 9))
    rows, findings = joined(log, outcomes(request_id=["b", "a", "zzz"], is_fraud=[1.0, 0, 1]), RULE, now=NOW)
    assert said(rows) == ["0", "1", "1", None]
    assert {one.outcome for one in findings} == {Outcome.PASS}
    assert by_check(findings)["outcomes.joined"].message.startswith("3 of 4 decisions that are 7 days old")


def test_a_decision_counts_only_when_its_label_may_be_known():
    """Labels that come fast are of one kind: they wait until the others may have come."""
    log = decided(("old", 0, "live", 7.01), ("young", 0, "live", 6.99))
    rows, _ = joined(log, outcomes(request_id=["old", "young"], is_fraud=[1, 1]), RULE, now=NOW)
    assert known(rows) == {"old": "1"}
    assert list(rows.mature) == [True, False]
    later, _ = joined(log, outcomes(request_id=["old", "young"], is_fraud=[1, 1]), RULE, now=NOW + timedelta(days=1))
    assert known(later) == {"old": "1", "young": "1"}


def test_a_label_that_contradicts_another_counts_for_nothing_and_is_named():
    log = decided(*((name, 0, "live", 9) for name in "abc"))
    told = outcomes(request_id=["a", "a", "b", "b", "c"], is_fraud=[0, 1, 1, 1, 0])
    rows, findings = joined(log, told, RULE, now=NOW)
    assert known(rows) == {"b": "1", "c": "0"}
    found = by_check(findings)
    conflict, twice = found["outcomes.conflicting"], found["outcomes.duplicate"]
    assert (conflict.outcome, conflict.severity, conflict.rows) == (Outcome.FAIL, Severity.FAIL, ("a",))
    assert (twice.outcome, twice.severity, twice.rows) == (Outcome.FAIL, Severity.WARN, ("b",))


def test_a_label_that_the_model_does_not_know_is_named():
    log = decided(("a", 0, "live", 9), ("b", 0, "live", 9))
    rows, findings = joined(log, outcomes(request_id=["a", "b"], is_fraud=["maybe", "1"]), RULE, now=NOW)
    assert known(rows) == {"b": "1"}, "a text file's 1 is the label 1"
    found = by_check(findings)["outcomes.label"]
    assert (found.outcome, found.rows) == (Outcome.FAIL, ("a",))
    assert "'maybe'" in found.message


def test_rows_of_one_request_need_the_row_in_the_outcomes():
    log = decided(("a", 0, "live", 9), ("a", 1, "live", 9), ("b", 0, "live", 9))
    told = outcomes(request_id=["a", "b"], is_fraud=[1, 0])
    rows, findings = joined(log, told, RULE, now=NOW)
    assert known(rows) == {"b": "0"}
    assert by_check(findings)["outcomes.rows"].severity is Severity.WARN
    rows, findings = joined(log, told.assign(row=[1, 0]), RULE, now=NOW)
    assert said(rows) == [None, "1", "0"]


def test_a_request_that_was_sent_twice_with_one_id_counts_once():
    log = decided(("a", 0, "live", 9), ("a", 0, "live", 8), ("b", 0, "live", 9))
    rows, findings = joined(log, outcomes(request_id=["a"], is_fraud=[1]), RULE, now=NOW)
    assert list(rows.request_id) == ["a", "b"]
    assert by_check(findings)["outcomes.repeated"].rows == ("a",)


def test_nothing_known_is_no_pass():
    _, findings = joined(decided(("a", 0, "live", 9)), outcomes(request_id=[], is_fraud=[]), RULE, now=NOW)
    assert by_check(findings)["outcomes.joined"].outcome is Outcome.INSUFFICIENT
    rows, findings = joined(decided()[:0], outcomes(request_id=["a"], is_fraud=[1]), RULE, now=NOW)
    assert rows.empty
    assert by_check(findings)["outcomes.joined"].outcome is Outcome.INSUFFICIENT


def by_time(**more):
    agreed = contract()
    return Rule(source="complaints", contract=type(agreed)(**{**as_dict(agreed), "timestamp": "paid_at"}),
                delay=timedelta(days=7), **more)  # fmt: skip


def as_dict(value):
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def test_without_ids_an_event_is_of_the_nearest_decision_about_its_entities():
    log = decided(("a", 0, "live", 9), ("b", 0, "live", 9.5), ("c", 0, "live", 9))
    log["request.customer_id"] = [7, 7, 8]
    at = NOW.replace(tzinfo=None)
    told = outcomes(
        customer_id=[7.0, 7.0, 8.0],
        paid_at=[at - timedelta(days=9, seconds=2), at - timedelta(days=9.5), at - timedelta(days=8)],
        is_fraud=[1, 0, 1],
    )
    rows, _ = joined(log, told, by_time(), now=NOW)
    assert known(rows) == {"a": "1", "b": "0"}, "what lies a day away is of no decision here"
    rows, _ = joined(log, told, by_time(within=timedelta(days=2)), now=NOW)
    assert known(rows) == {"a": "1", "b": "0", "c": "1"}


def test_a_request_that_bears_its_time_is_joined_by_it():
    log = decided(("a", 0, "live", 9), ("b", 0, "live", 9))
    log["request.customer_id"] = [7, 7]
    log["request.paid_at"] = pd.to_datetime(["2026-05-01T10:00", "2026-05-01T11:00"])
    told = outcomes(customer_id=[7], paid_at=["2026-05-01T11:00"], is_fraud=[1])
    rows, _ = joined(log, told, by_time(), now=NOW)
    assert known(rows) == {"b": "1"}


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"request_id": ["a"]}, "no column 'is_fraud'; they have request_id"),
        ({"is_fraud": [1]}, "neither 'request_id' nor customer_id"),
        ({"is_fraud": [1], "customer_id": [7], "paid_at": ["2026-05-01"]}, "kept without 'customer_id'"),
    ],
)
def test_what_cannot_be_joined_is_said(columns, says):
    log = decided(("a", 0, "live", 9)).drop(columns="request.customer_id")
    with pytest.raises(ConfigError, match=re.escape(says)):
        joined(log, outcomes(**columns), by_time(), now=NOW)


def test_amounts_are_joined_as_numbers():
    rule = Rule(source="sales", contract=contract("worth_v1", task="regression"), delay=timedelta(0))
    rows, _ = joined(decided(("a", 0, "live", 1)), outcomes(request_id=["a"], is_fraud=[12]), rule, now=NOW)
    assert rows.label.dtype == "float64"
    assert list(rows.label) == [12.0]


def test_further_columns_come_along():
    log = decided(("a", 0, "live", 9), ("b", 0, "live", 1))
    told = outcomes(request_id=["a", "b"], is_fraud=[1, 1], lost=[3.5, 4.5])
    rows, _ = joined(log, told, RULE, now=NOW, also=["lost"])
    assert list(rows.lost.fillna(-1)) == [3.5, -1]
