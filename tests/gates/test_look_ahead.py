"""Views whose rows become known later than they happen: what reads them too early is found."""

from __future__ import annotations

import pandas as pd
import pytest

from mlops.declare import FeatureView, feature_view
from mlops.gates.properties import judge_view
from mlops.testing import frame
from mlops.verdict import Finding, Outcome, Severity

PAYMENTS = frame("""
    customer  at                seen_at           amount
    7         2024-01-01T09:00  2024-01-01T09:00  10.0
    7         2024-01-02T09:00  2024-01-06T09:00  90.0
    7         2024-01-03T09:00  2024-01-03T09:00  30.0
    8         2024-01-04T09:00  2024-01-04T09:00  5.0
    8         2024-01-05T09:00  2024-01-05T09:00  15.0
    7         2024-01-07T09:00  2024-01-07T09:00  20.0
    8         2024-01-08T09:00  2024-01-08T09:00  25.0
""")


def declared(function) -> FeatureView:
    return feature_view(source="payments", entity="customer", timestamp="at", created="seen_at")(function)


def judged(view: FeatureView, source: pd.DataFrame = PAYMENTS) -> dict[str, Finding]:
    return {finding.check: finding for finding in judge_view(view, source, time="at")}


@declared
def naive_v1(payments):
    """Sums by event time, and says that each sum was known with its own row."""
    ordered = payments.sort_values(["customer", "at", "seen_at"])
    return ordered.assign(spent=ordered.groupby("customer")["amount"].cumsum())[["customer", "at", "seen_at", "spent"]]


@declared
def latest_v1(payments):
    """Each sum is known when the last of its rows is."""
    ordered = payments.sort_values(["customer", "at", "seen_at"])
    by_customer = ordered.groupby("customer")
    table = ordered.assign(spent=by_customer["amount"].cumsum(), seen_at=by_customer["seen_at"].cummax())
    return table[["customer", "at", "seen_at", "spent"]]


@declared
def revised_v1(payments):
    """Each sum as it was first known, and once more when a late payment changes it."""
    rows = []
    for late in sorted(payments["seen_at"].unique()):
        known = payments[payments["seen_at"] <= late].sort_values(["customer", "at"])
        sums = known.assign(spent=known.groupby("customer")["amount"].cumsum(), seen_at=late)
        touched = known.loc[known["seen_at"] == late].groupby("customer")["at"].min()
        rows.append(sums[sums["at"] >= sums["customer"].map(touched)])
    return pd.concat(rows)[["customer", "at", "seen_at", "spent"]]


@declared
def last_payment_v1(payments):
    return payments[["customer", "at", "seen_at", "amount"]]


@pytest.mark.parametrize("view", [last_payment_v1, revised_v1])
def test_a_view_that_says_what_was_known_when_holds(view):
    found = judged(view)
    assert [f.message for f in found.values() if f.outcome is not Outcome.PASS] == []
    assert {"features.known-ahead", "features.restated", "features.look-ahead"} <= set(found)


def test_a_sum_over_rows_that_came_later_is_found():
    """Promise 6."""
    finding = judged(naive_v1)["features.known-ahead"]
    assert finding.outcome is Outcome.FAIL
    assert "reads rows before they are known" in finding.message
    assert "customer 7 at 2024-01-03 09:00:00: spent is 130.0 with all rows, 40.0 with the rows known until" in (
        finding.message
    )
    assert "latest one of all rows" in finding.next_step


def test_a_view_that_takes_back_what_was_known_is_warned_of():
    found = judged(latest_v1)
    assert found["features.known-ahead"].outcome is Outcome.PASS
    finding = found["features.restated"]
    assert (finding.outcome, finding.severity) == (Outcome.FAIL, Severity.WARN)
    assert "takes back what was known" in finding.message
    assert "a row of its own" in finding.next_step


def test_a_known_time_that_the_source_does_not_have_cannot_be_tried_and_fails():
    @declared
    def renamed_v1(payments):
        return payments.rename(columns={"arrived": "seen_at"})[["customer", "at", "seen_at", "amount"]]

    finding = judged(renamed_v1, PAYMENTS.rename(columns={"seen_at": "arrived"}))["features.known-ahead"]
    assert finding.outcome is Outcome.FAIL
    assert "has no column 'seen_at'" in finding.message


def test_the_known_time_must_be_returned_whole_and_as_a_time():
    for change, problem in (
        (lambda f: f.drop(columns="seen_at"), "did not return the column 'seen_at'"),
        (lambda f: f.assign(seen_at=f["seen_at"].where(f["amount"] > 9)), "1 rows without seen_at"),
        (lambda f: f.assign(seen_at=1.0), "seen_at as float64, not as a time"),
        (lambda f: f.assign(Amount=f["amount"]), "differ only in upper and lower case: 'amount', 'Amount'"),
        (lambda f: f.assign(seen_at=f["seen_at"].dt.tz_localize("UTC")), "seen_at with a time zone"),
    ):

        def changed_v1(payments, change=change):
            return change(payments[["customer", "at", "seen_at", "amount"]])

        view = FeatureView(
            function=changed_v1,
            name="changed_v1",
            module="x",
            origin=last_payment_v1.origin,
            source="payments",
            entity="customer",
            timestamp="at",
            created="seen_at",
        )
        messages = [f.message for f in judge_view(view, PAYMENTS, time="at") if f.outcome is Outcome.FAIL]
        assert any(problem in message for message in messages), messages


def test_revisions_of_one_moment_are_no_duplicates_and_equal_known_times_are():
    twice = pd.concat([PAYMENTS, PAYMENTS.iloc[[0]].assign(seen_at=PAYMENTS["seen_at"].iloc[1], amount=11.0)])
    assert judged(last_payment_v1, twice)["features.duplicates"].outcome is Outcome.PASS
    again = pd.concat([PAYMENTS, PAYMENTS.iloc[[0]]])
    assert "same customer and at and seen_at" in judged(last_payment_v1, again)["features.duplicates"].message
