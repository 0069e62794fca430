"""What users write their tests of features with."""

from __future__ import annotations

import doctest

import pandas as pd
import pytest

import mlops.testing
from mlops import feature_view, on_demand
from mlops.testing import (
    assert_created,
    assert_no_look_ahead,
    assert_row_order_does_not_matter,
    assert_same_online,
    assert_sound,
    assert_window,
    features_at,
    frame,
)

PAYMENTS = frame("""
    customer  at                amount
    1         2024-01-01T09:00  10.0
    1         2024-01-02T09:00  30.0
    2         2024-01-02T10:00  50.0
    1         2024-01-05T09:00  20.0
""")


@feature_view(source="payments", entity="customer", timestamp="at")
def good_v1(payments: pd.DataFrame) -> pd.DataFrame:
    table = payments.sort_values(["customer", "at"])
    return table[["customer", "at"]].assign(total=table.groupby("customer")["amount"].cumsum())


@feature_view(source="payments", entity="customer", timestamp="at")
def next_v1(payments: pd.DataFrame) -> pd.DataFrame:
    table = payments.sort_values(["customer", "at"])
    return table[["customer", "at"]].assign(total=table.groupby("customer")["amount"].shift(-1))


@feature_view(source="payments", entity="customer", timestamp="at")
def unsorted_v1(payments: pd.DataFrame) -> pd.DataFrame:
    return payments[["customer", "at"]].assign(total=payments.groupby("customer")["amount"].cumsum())


@feature_view(source="payments", entity="customer", timestamp="at")
def nothing_v1(payments: pd.DataFrame) -> int:
    return len(payments)


def test_a_table_of_text_becomes_a_frame_with_types() -> None:
    table = frame("""
        | id | at                   | amount | ok    | name      | note |
        |----|----------------------|--------|-------|-----------|------|
        | 1  | 2024-01-01T09:00:00Z | 1.5    | true  | Ann Jones | -    |
        | 2  | -                    | -      | false | 2024      | -    |
    """)
    assert table["id"].tolist() == [1, 2]
    assert table["id"].dtype.kind == "i"
    assert str(table["at"].dtype.tz) == "UTC"
    assert table["amount"].isna().tolist() == [False, True]
    assert table["ok"].tolist() == [True, False]
    assert table["name"].tolist() == ["Ann Jones", "2024"]
    assert table["note"].isna().all()


def test_a_row_with_too_few_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="row 1 has 1 cells for 2 columns"):
        frame("a b\n1")


def test_a_view_of_the_past_passes_every_assertion() -> None:
    assert_sound(good_v1, PAYMENTS)
    assert_no_look_ahead(good_v1, PAYMENTS)
    assert_row_order_does_not_matter(good_v1, PAYMENTS)


def test_a_look_into_the_future_fails_with_the_row() -> None:
    with pytest.raises(AssertionError, match=r"next_v1 looks ahead: .* customer 1 at 2024-01-"):
        assert_no_look_ahead(next_v1, PAYMENTS)


def test_a_dependence_on_the_order_fails() -> None:
    assert_no_look_ahead(unsorted_v1, PAYMENTS)
    with pytest.raises(AssertionError, match="depends on the order of the rows"):
        assert_row_order_does_not_matter(unsorted_v1, PAYMENTS)


def test_a_view_that_returns_nonsense_fails_every_assertion() -> None:
    for check in (assert_no_look_ahead, assert_row_order_does_not_matter, assert_sound):
        with pytest.raises(AssertionError, match="returned int, not a DataFrame"):
            check(nothing_v1, PAYMENTS)


def test_the_examples_of_the_docstrings_run() -> None:
    ran = doctest.testmod(mlops.testing, optionflags=doctest.ELLIPSIS)
    assert ran.attempted > 20
    assert ran.failed == 0


KNOWN_LATE = frame("""
    customer  at                booked            amount
    1         2024-01-01T09:00  2024-01-01T09:00  10.0
    1         2024-01-02T09:00  2024-01-04T09:00  30.0
    2         2024-01-02T10:00  2024-01-02T10:00  50.0
    1         2024-01-03T09:00  2024-01-03T09:00  20.0
""")


@feature_view(source="payments", entity="customer", timestamp="at", created="booked", ttl="7d", window="1d")
def last_v1(payments: pd.DataFrame) -> pd.DataFrame:
    return payments[["customer", "at", "booked", "amount"]]


@feature_view(source="payments", entity="customer", timestamp="at", created="booked", window="1d")
def sum_v1(payments: pd.DataFrame) -> pd.DataFrame:
    table = payments.sort_values(["customer", "at"])
    return table[["customer", "at", "booked"]].assign(total=table.groupby("customer")["amount"].cumsum())


@pytest.mark.parametrize(
    ("moment", "seen"),
    [
        ("2024-01-01T09:00", None),  # strictly before
        ("2024-01-01T09:00:00.000001", 10.0),
        ("2024-01-03T08:59", 10.0),  # the second payment is not booked yet
        ("2024-01-03T10:00+01:00", 10.0),  # nine o'clock, UTC: not before the third
        ("2024-01-05T09:00", 20.0),  # booked by then, but older than the third
        ("2024-01-10T09:00", 20.0),
        ("2024-01-10T09:00:01", None),  # expired
    ],
)
def test_what_a_request_sees_follows_the_rule_of_time(moment: str, seen: float | None) -> None:
    assert features_at(last_v1, KNOWN_LATE, 1, moment) == {"amount": seen}


def test_an_unknown_entity_sees_nothing() -> None:
    assert features_at(last_v1, KNOWN_LATE, 99, "2024-02-01") == {"amount": None}
    assert features_at(good_v1, PAYMENTS.assign(customer="c"), "c", "2024-02-01") == {"total": 110.0}


def test_stored_features_are_the_same_online() -> None:
    for view, rows in ((good_v1, PAYMENTS), (last_v1, KNOWN_LATE)):
        assert_same_online(view, rows)


def test_a_store_that_drifts_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops.stores.embedded import EmbeddedStore

    sound = EmbeddedStore.online
    monkeypatch.setattr(
        EmbeddedStore,
        "online",
        lambda *given: [{name: value + 1e-9 for name, value in row.items()} for row in sound(*given)],
    )
    with pytest.raises(AssertionError, match=r"good_v1\.total of customer 1 at 2024-01-\d\d .* offline, .* online"):
        assert_same_online(good_v1, PAYMENTS)


def test_an_on_demand_feature_that_looks_at_its_neighbours_or_its_watch_fails() -> None:
    @on_demand(inputs=["amount", "good_v1.total"])
    def share_v1(amount: pd.Series, total: pd.Series) -> pd.Series:
        return amount / total

    @on_demand(inputs=["amount"])
    def excess_v1(amount: pd.Series) -> pd.Series:
        return amount - amount.mean()

    @on_demand(inputs=["amount"])
    def aged_v1(amount: pd.Series) -> pd.Series:
        return amount * pd.Timestamp.now().year

    rows = PAYMENTS.assign(total=[10.0, None, 50.0, 60.0])
    assert_same_online(share_v1, rows)
    with pytest.raises(AssertionError, match="depends on other rows"):
        assert_same_online(excess_v1, rows)
    with pytest.raises(AssertionError, match=r"present time|clock"):
        assert_same_online(aged_v1, rows)


def test_a_window_that_is_too_short_fails_with_one_that_would_do() -> None:
    assert_window(last_v1, KNOWN_LATE)
    with pytest.raises(AssertionError, match="looks back further than its window of 1d"):
        assert_window(sum_v1, KNOWN_LATE)
    with pytest.raises(ValueError, match="good_v1 declares no window"):
        assert_window(good_v1, PAYMENTS)


def test_a_sum_that_says_it_knew_a_late_row_fails() -> None:
    assert_created(last_v1, KNOWN_LATE)
    with pytest.raises(AssertionError, match="sum_v1"):
        assert_created(sum_v1, KNOWN_LATE)
    with pytest.raises(ValueError, match="good_v1 declares no created"):
        assert_created(good_v1, PAYMENTS)
