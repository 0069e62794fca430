"""What users write their tests of features with."""

from __future__ import annotations

import pandas as pd
import pytest

from mlops import feature_view
from mlops.testing import assert_no_look_ahead, assert_row_order_does_not_matter, assert_sound, frame

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
