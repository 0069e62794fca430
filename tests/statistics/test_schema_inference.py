from __future__ import annotations

import numpy as np
import pandas as pd

from mlops.statistics.schema_inference import infer


def column(values, name: str = "x") -> dict:
    return infer(pd.DataFrame({name: values}), source="s")["columns"][name]


def test_ranges_are_wider_than_what_was_seen():
    bounds = column(np.linspace(-20.0, 40.0, 500))["checks"]["in_range"]
    assert bounds["min_value"] < -60
    assert bounds["max_value"] > 100


def test_long_tails_may_grow_longer():
    amounts = np.random.default_rng(0).lognormal(3, 1, 6_000)
    assert column(amounts)["checks"]["in_range"]["max_value"] > 9 * amounts.max()
    assert column(-amounts)["checks"]["in_range"]["min_value"] < -9 * amounts.max()


def test_words_that_never_varied_are_no_list():
    assert column(["unknown"] * 500)["checks"] is None


def test_the_scale_of_amounts_is_kept_and_that_of_codes_is_not():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "amount": random.lognormal(3, 1, 500),
            "order_id": random.permutation(5_000)[:500],
            "stars": random.integers(1, 6, 500),
            "gone": np.nan,
        }
    )
    scales = infer(frame, source="s")["metadata"]["scales"]
    assert list(scales) == ["amount"]
    assert np.allclose(scales["amount"], frame["amount"].quantile([0.1, 0.25, 0.5, 0.75, 0.9]), rtol=1e-3)


def test_an_order_of_two_columns_is_inferred_where_it_clearly_holds():
    random = np.random.default_rng(0)
    start = pd.Series(pd.date_range("2024-01-01", periods=2_000, freq="min"))
    low = random.normal(size=2_000)
    frame = pd.DataFrame(
        {
            "start": start,
            "the end": start + pd.to_timedelta(random.integers(0, 9, 2_000), unit="h"),
            "min_x": low,
            "max_x": low + 1,
            "other": low + 2,
        }
    )
    inferred = infer(frame, source="s")["metadata"]["constraints"]
    assert inferred == ["start <= `the end`", "min_x <= max_x"]
    assert "constraints" not in infer(frame[:500], source="s")["metadata"]


def test_amounts_that_were_never_negative_stay_so_and_temperatures_do_not():
    random = np.random.default_rng(0)
    assert column(random.exponential(50, 5_000))["checks"]["in_range"]["min_value"] == 0
    assert column(random.normal(20, 4, 5_000).clip(3, 40))["checks"]["in_range"]["min_value"] < 0


def test_few_words_that_recur_are_categories_and_many_or_new_ones_are_not():
    assert column(["a", "b"] * 100)["checks"] == {"isin": ["a", "b"]}
    assert column([f"w{k}" for k in range(500)])["checks"] is None
    assert column(["a"] * 150 + ["b"] * 50)["checks"] is None  # b came late: more may come


def test_a_named_column_of_different_values_is_a_key_without_a_range():
    found = column(np.arange(500), "order_id")
    assert found["unique"]
    assert found["checks"] is None
    assert not column(np.arange(500), "amount")["unique"]


def test_time_that_only_rises_is_said_to():
    times = pd.date_range("2024-01-01", periods=50, freq="h")
    assert infer(pd.DataFrame({"at": times}), source="s")["metadata"]["increasing"] == ["at"]
    assert "increasing" not in infer(pd.DataFrame({"at": times[::-1]}), source="s")["metadata"]


def test_odd_columns_are_borne():
    odd = pd.DataFrame({"gone": [None, None], "infinite": [np.inf, 1.0], "truth": [True, False], "constant": [7, 7]})
    found = infer(odd, source="s")["columns"]
    assert found["gone"]["nullable"]
    assert found["truth"]["dtype"] == "bool"
    assert found["constant"]["checks"] is None  # it has not varied yet, and says nothing about where it may go
