"""What the features of card payments promise, on payments small enough to add up in one's head."""

from __future__ import annotations

import pandas as pd
import pytest

from features.simulator import transactions
from features.transactions import (
    amount_over_mean_v1,
    amount_over_mean_v2,
    customer_spend_v1,
    customer_spend_v2,
    terminal_risk_v1,
)
from mlops.testing import assert_no_look_ahead, assert_same_online, assert_sound, features_at, frame

PAYMENTS = frame("""
    event_time        customer_id  terminal_id  amount  is_fraud
    2024-01-01T09:00  1            50           10.0    0.0
    2024-01-03T09:00  1            50           30.0    1.0
    2024-01-03T12:00  2            50           70.0    0.0
    2024-01-09T09:00  1            51           50.0    0.0
    2024-01-12T09:00  2            50           20.0    -
""")


def at(features: pd.DataFrame, entity: str, key: int, moment: str) -> pd.Series:
    return features[(features[entity] == key) & (features["event_time"] == pd.Timestamp(moment))].iloc[0]


def test_a_week_of_spending_forgets_what_is_older() -> None:
    features = customer_spend_v1(PAYMENTS)
    assert at(features, "customer_id", 1, "2024-01-03T09:00")[["mean_7d", "count_7d"]].tolist() == [20.0, 2.0]
    assert at(features, "customer_id", 1, "2024-01-09T09:00")[["mean_7d", "count_7d"]].tolist() == [40.0, 2.0]


def test_version_2_adds_a_day_and_a_month_and_keeps_the_week() -> None:
    row = at(customer_spend_v2(PAYMENTS), "customer_id", 1, "2024-01-09T09:00")
    assert row[["mean_1d", "mean_7d", "mean_30d"]].tolist() == [50.0, 40.0, 30.0]
    assert row[["count_1d", "count_7d", "count_30d"]].tolist() == [1.0, 2.0, 3.0]


def test_a_terminal_is_risky_only_once_its_frauds_are_known() -> None:
    features = terminal_risk_v1(PAYMENTS)
    soon = at(features, "terminal_id", 50, "2024-01-03T12:00")
    assert soon["payments_7d"] == 0
    assert pd.isna(soon["fraud_share_7d"])
    later = at(features, "terminal_id", 50, "2024-01-12T09:00")
    assert later["payments_7d"] == 3
    assert later["fraud_share_7d"] == pytest.approx(1 / 3, abs=1e-4)


@pytest.mark.parametrize("view", [customer_spend_v1, customer_spend_v2, terminal_risk_v1])
def test_no_payment_changes_what_was_known_before_it(view) -> None:
    assert_no_look_ahead(view, transactions(customers=20, terminals=10, days=30))


@pytest.mark.parametrize("view", [customer_spend_v1, customer_spend_v2, terminal_risk_v1])
def test_a_request_reads_what_training_saw(view) -> None:
    assert_same_online(view, transactions(customers=20, terminals=10, days=30, desk_opens=0))


def test_a_payment_does_not_know_of_itself_and_a_month_is_forgotten() -> None:
    def seen(moment: str) -> float | None:
        return features_at(customer_spend_v1, PAYMENTS, 1, moment)["count_7d"]

    assert [seen("2024-01-01T09:00"), seen("2024-01-03T09:00"), seen("2024-01-03T09:01")] == [None, 1.0, 2.0]
    assert [seen("2024-02-08T09:00"), seen("2024-02-08T09:01")] == [2.0, None]


def test_a_payment_is_measured_alone_as_among_others() -> None:
    rows = pd.DataFrame({"amount": [30.0, 5.0, 900.0], "mean_7d": [10.0, None, 1.0], "mean_30d": [12.0, None, 2.0]})
    for feature in (amount_over_mean_v1, amount_over_mean_v2):
        assert_same_online(feature, rows)


def test_two_payments_at_the_same_moment_give_one_row() -> None:
    twice = pd.concat([PAYMENTS, PAYMENTS.assign(amount=90.0)], ignore_index=True)
    assert_sound(customer_spend_v1, twice)
    assert at(customer_spend_v1(twice), "customer_id", 2, "2024-01-03T12:00")["mean_7d"] == 80.0


def test_an_amount_is_measured_against_the_customers_own_mean() -> None:
    amount, mean = pd.Series([30.0, 30.0, 30.0, 900.0]), pd.Series([10.0, 0.0, None, 1.0])
    for feature in (amount_over_mean_v1, amount_over_mean_v2):
        assert feature(amount, mean).fillna(-1).tolist() == [3.0, -1, -1, 100.0]


def test_windows_end_to_the_minute() -> None:
    payments = frame("""
        event_time        customer_id  terminal_id  amount  is_fraud
        2024-01-01T09:00  1            50           10.0    1.0
        2024-01-08T08:59  1            51           20.0    0.0
        2024-01-08T09:00  1            51           30.0    0.0
        2024-01-15T08:59  2            50           40.0    0.0
        2024-01-15T09:00  3            50           50.0    0.0
    """)
    spend, risk = customer_spend_v1(payments), terminal_risk_v1(payments)
    assert at(spend, "customer_id", 1, "2024-01-08T08:59")["count_7d"] == 2
    assert at(spend, "customer_id", 1, "2024-01-08T09:00")["count_7d"] == 2, "the first payment is a week ago"
    assert at(risk, "terminal_id", 50, "2024-01-15T08:59")["fraud_share_7d"] == 1.0
    assert at(risk, "terminal_id", 50, "2024-01-15T09:00")["payments_7d"] == 0, "two weeks ago is too long ago"
