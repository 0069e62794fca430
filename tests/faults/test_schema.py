"""PROMISES 6, first half: twelve kinds of schema skew, planted into a table of a shop's orders, and clean batches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from mlops.faults.schema import faults, judged
from mlops.gates import schema
from mlops.statistics.schema_inference import infer
from tests.steps.honest import SHARED, TABLES

PLANTED = {
    "missing column": "schema.column",
    "unexpected column": "schema.unexpected",
    "no rows": "schema.empty",
    "text for numbers": "schema.type",
    "another unit": "schema.unit",
    "values far beyond": "schema.range",
    "a word never seen": "schema.category",
    "letters of another encoding": "schema.encoding",
    "values gone": "schema.presence",
    "a key twice": "schema.unique",
    "time backwards": "schema.order",
    "columns swapped": "schema.constraint",
}


def orders(seed: int, rows: int = 2_000, *, growth: float = 1.0) -> pd.DataFrame:
    """Orders in the order of time: keys, words, amounts with a long tail, gaps, temperatures, two times in order."""
    random = np.random.default_rng(seed)
    placed = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(random.integers(0, 10**7, rows)), unit="s")
    return pd.DataFrame(
        {
            "amount": (random.lognormal(3, 1, rows) * growth).round(2),
            "order_id": random.permutation(10 * rows)[:rows] + 1,
            "placed": placed,
            "delivered": placed + pd.to_timedelta(random.integers(60, 10**6, rows), unit="s"),
            "city": random.choice(["Bonn", "Köln", "São Paulo", "Århus"], rows, p=[0.5, 0.3, 0.15, 0.05]),
            "coupon": pd.Series(random.choice(["A", "B"], rows)).mask(random.random(rows) < 0.3),
            "discount": np.where(random.random(rows) < 0.7, 0, random.integers(1, 60, rows)),
            "items": random.poisson(3, rows) + 1,
            "outside": random.normal(9, 7, rows).round(1),
            "weight": np.where(random.random(rows) < 0.1, np.nan, random.gamma(2, 800, rows).round()),
            "returned": random.random(rows) < 0.08,
        }
    )


@pytest.fixture(scope="module")
def written() -> schema.Schema:
    return schema.parse(infer(orders(0, 6_000), source="orders"))


def fired(written: schema.Schema, frame: pd.DataFrame) -> set[str]:
    return {f.check for f in judged(written, frame, source="orders") if f.fired}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_twelve_kinds_of_skew_are_found(written, seed):
    """PROMISES 6: 36 of 36, each by the check that is there for it, and nothing in the table before."""
    frame = orders(seed)
    assert fired(written, frame) == set()
    planted = faults(written, frame)
    assert {name: check for name, (check, _) in planted.items()} == PLANTED
    assert {name for name, (check, broken) in planted.items() if check not in fired(written, broken)} == set()


def test_clean_batches_raise_no_finding(written):
    """PROMISES 6: none of 200, small and large, some of which have grown by half."""
    sizes = (50, 150, 300, 1_500)
    batches = (orders(seed, sizes[seed % 4], growth=1 + (seed % 3) / 4) for seed in range(100, 300))
    assert [found for batch in batches if (found := fired(written, batch))] == []


@pytest.mark.parametrize("name", ["bike_sharing", "bank_marketing", "occupancy", "adult_income", "credit_default"])
def test_later_batches_of_a_real_table_raise_no_finding(name):
    """PROMISES 6: the schema is written from the older half, and each of twenty later batches passes."""
    if not SHARED.exists():
        pytest.skip("the real tables are not beside this repository")
    frame = TABLES[name][0]()
    if name == "occupancy":
        frame = frame.sort_values("date", ignore_index=True)
    half = len(frame) // 2
    written = schema.parse(infer(frame[:half], source=name))
    starts = np.linspace(half, len(frame), 21).astype(int)
    batches = [frame[a:b].reset_index(drop=True) for a, b in pairwise(starts)]
    assert [found for batch in batches if (found := fired(written, batch))] == []


def test_what_a_schema_never_promised_is_planted_all_the_same(written):
    loose = schema.parse({"columns": {name: {"nullable": True} for name in orders(1)}})
    planted = faults(loose, orders(1))
    missed = {name for name, (check, broken) in planted.items() if check not in fired(loose, broken)}
    assert {"values far beyond", "values gone", "unexpected column"} <= missed
