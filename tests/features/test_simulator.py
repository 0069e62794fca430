"""The simulator: the same seed gives the same payments, with the frauds, drift and faults it says."""

from __future__ import annotations

import pandas as pd
import pytest

from features.simulator import transactions


def test_a_seed_gives_the_same_payments_and_another_seed_others() -> None:
    pd.testing.assert_frame_equal(transactions(days=10), transactions(days=10))
    assert not transactions(days=10).equals(transactions(days=10, seed=8))


def test_payments_are_in_order_and_some_are_fraud() -> None:
    table = transactions()
    assert 40_000 < len(table) < 60_000
    assert table["event_time"].is_monotonic_increasing
    assert table["transaction_id"].is_unique
    assert 0.01 < table["is_fraud"].mean() < 0.05
    assert (table["amount"] > 0).all()


def test_labels_are_missing_before_the_desk_opens_and_for_the_last_days() -> None:
    table = transactions(days=30, desk_opens=10, label_delay_days=7)
    day = (table["event_time"] - table["event_time"].min().floor("D")).dt.days
    assert (table["is_fraud"].isna() == ((day < 10) | (day >= 23))).all()


def test_drift_changes_the_last_days_only() -> None:
    plain, drifted = transactions(days=30), transactions(days=30, drift=0.5, drift_days=10)
    day = (plain["event_time"] - plain["event_time"].min().floor("D")).dt.days
    pd.testing.assert_frame_equal(plain[day < 20], drifted[day < 20])
    assert drifted.loc[day >= 20, "amount"].mean() == pytest.approx(
        1.5 * plain.loc[day >= 20, "amount"].mean(), rel=0.01
    )
    assert (drifted["channel"] == "online").mean() > (plain["channel"] == "online").mean() + 0.1


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("missing_column", lambda t: "amount" not in t),
        ("renamed_column", lambda t: "amt" in t and "amount" not in t),
        ("text_amount", lambda t: t["amount"].str.endswith("EUR").all()),
        ("negative_amount", lambda t: 0.01 < (t["amount"] < 0).mean() < 0.03),
        ("null_customer", lambda t: 0.01 < t["customer_id"].isna().mean() < 0.03),
        ("new_channel", lambda t: 0.03 < (t["channel"] == "crypto").mean() < 0.07),
        ("duplicate_id", lambda t: not t["transaction_id"].is_unique),
    ],
)
def test_a_fault_is_what_its_name_says(fault: str, seen) -> None:
    assert seen(transactions(days=20, fault=fault))


def test_an_unknown_fault_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="there are missing_column"):
        transactions(days=2, fault="nonsense")
