"""The rows a view is tried on, and how two results are told apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops import feature_view
from mlops.gates.properties import ROWS, ROWS_EACH, sample
from mlops.gates.trying import CLOSE, difference


@feature_view(source="payments", entity="customer", timestamp="at")
def spend_v1(payments: pd.DataFrame) -> pd.DataFrame:
    return payments


def table(**columns: list) -> pd.DataFrame:
    at = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"])
    return pd.DataFrame(
        {"customer": [1, 2, 3], "at": at, "x": [1.0, np.nan, 3.0], "word": ["a", None, "{0}"]} | columns
    )


def test_a_large_source_is_sampled_by_whole_entities_in_its_order() -> None:
    random = np.random.default_rng(0)
    source = pd.DataFrame({"customer": random.zipf(1.4, 60_000) % 5000, "at": pd.Timestamp("2024-01-01")})
    source["at"] += pd.to_timedelta(np.arange(60_000), unit="min")
    rows = sample(source, "customer", "at")
    assert ROWS / 2 <= len(rows) <= ROWS
    assert rows["at"].is_monotonic_increasing
    assert rows["customer"].nunique() > 20
    for customer, taken in rows.groupby("customer"):
        first = source.loc[source["customer"] == customer, "at"].head(ROWS_EACH)
        assert taken["at"].tolist() == first.tolist()
    pd.testing.assert_frame_equal(rows, sample(source, "customer", "at"))


def test_one_row_for_each_entity_and_one_entity_for_all_rows_can_be_sampled() -> None:
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(9000), unit="min")
    assert len(sample(pd.DataFrame({"customer": np.arange(9000), "at": at}), "customer", "at")) == ROWS
    assert len(sample(pd.DataFrame({"customer": 1, "at": at}), "customer", "at")) == ROWS_EACH
    assert len(sample(pd.DataFrame({"at": at}), "customer", "at")) == ROWS


def test_equal_results_in_another_order_do_not_differ() -> None:
    assert difference(spend_v1, table(), table().iloc[[2, 0, 1]], tolerance=0.0) is None


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (table(x=[1.0, np.nan, 3.5]), "customer 3 at 2024-01-03 00:00:00: x is 3.0 with {0}, 3.5 with {1}"),
        (table(x=[1.0, 2.0, 3.0]), "customer 2 at 2024-01-02 00:00:00: x is nan with {0}, 2.0 with {1}"),
        (table(word=["b", None, "{0}"]), "word is 'a' with {0}, 'b' with {1}"),
        (table().head(2), "customer 3 at 2024-01-03 00:00:00: {0} has a row, {1} has none"),
        (table().drop(columns="word"), "it returned customer, at, x"),
        (pd.concat([table(), table()]), "some entity and time came twice"),
        (7, "it returned int"),
    ],
)
def test_a_difference_says_where_and_what(other: object, words: str) -> None:
    found = difference(spend_v1, table(), other, tolerance=1e-9)
    assert found is not None
    assert words in found.text


def test_the_last_digits_of_a_sum_are_no_difference() -> None:
    assert difference(spend_v1, table(), table(x=[1.0 + 1e-13, np.nan, 3.0]), tolerance=1e-9) is None


def of(values: list[float]) -> pd.DataFrame:
    at = pd.date_range("2024-01-01", periods=len(values), freq="h")
    return pd.DataFrame({"customer": 1, "at": at, "x": values})


def test_a_rounded_value_may_fall_on_the_other_side_of_a_half() -> None:
    """A mean of 58.135 is 58.14 or 58.13, by the order in which it was summed: honest functions round."""
    values = [round(1.01 * n, 2) for n in range(400)]
    assert difference(spend_v1, of(values), of([*values[:-1], round(values[-1] + 0.01, 2)]), tolerance=CLOSE) is None


@pytest.mark.parametrize(
    ("values", "others"),
    [
        ([round(1.01 * n, 2) for n in range(400)], [round(1.01 * n + 0.01 * (n % 9 == 0), 2) for n in range(400)]),
        ([round(1.01 * n, 2) for n in range(400)], [round(1.01 * n + 0.02 * (n == 9), 2) for n in range(400)]),
        ([float(n) for n in range(400)], [float(n + (n == 9)) for n in range(400)]),
    ],
    ids=["often", "by more than a unit", "a count"],
)
def test_any_other_difference_of_rounded_values_is_one(values: list[float], others: list[float]) -> None:
    assert difference(spend_v1, of(values), of(others), tolerance=CLOSE) is not None
