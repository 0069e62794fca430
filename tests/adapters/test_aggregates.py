"""The same answers from a frame and from a Parquet file of several row groups, and those that numpy gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from mlops.adapters import aggregates
from mlops.facts import LEVELS, Rule

ROWS = 3_000


def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    times = pd.Series(pd.date_range("2024-01-01", periods=ROWS, freq="min")).astype("datetime64[us]")
    return pd.DataFrame(
        {
            "at": times.mask(np.arange(ROWS) % 7 == 0),
            "amount": np.where(np.arange(ROWS) % 10 == 0, np.nan, random.normal(size=ROWS).round(1)),
            "pieces": random.integers(0, 9, ROWS),
            "city": random.choice(["Bonn", "Köln"], ROWS),
            "open": random.random(ROWS) < 0.5,
            "file_row": np.arange(ROWS),
        }
    )


@contextmanager
def stored(table: pd.DataFrame, folder: Path) -> Iterator[aggregates.Aggregates]:
    path = folder / "it's a table.parquet"
    parquet.write_table(pa.Table.from_pandas(table, preserve_index=False), path, row_group_size=512)
    with aggregates.of_parquet(path, scratch=folder) as opened:
        yield opened


RULES = [
    Rule("amount", "below", -2),
    Rule("amount", "not below", 2.0),
    Rule("amount", "above", 99),
    Rule("amount", "missing"),
    Rule("amount", "not whole"),
    Rule("pieces", "not in", (0, 1, 2)),
    Rule("city", "not in", ("Bonn",)),
    Rule("city", "not a number"),
    Rule("city", "garbled"),
    Rule("at", "below", "2024-01-01 00:05:00"),
    Rule("at", "backwards"),
    Rule("file_row", "repeated", ("file_row",)),
    Rule("city", "repeated", ("city", "open")),
    Rule("", "false", "amount <= pieces"),
]


def test_a_file_and_a_frame_give_the_same_facts(tmp_path):
    with stored(frame(), tmp_path) as file, aggregates.of_frame(frame()) as table:
        assert file.rows == table.rows == ROWS
        assert file.kinds == table.kinds
        assert list(file.kinds.values()) == ["time", "float", "int", "text", "bool", "int"]
        facts = file.measure(RULES, scales=["amount"])
        assert facts == table.measure(RULES, scales=["amount"])
    assert facts.missing["amount"] == 300
    amount = frame()["amount"]
    below = facts.broken[RULES[0]]
    assert below.count == (amount < -2).sum()
    assert below.rows == tuple(np.flatnonzero(amount < -2)[:5])
    assert set(facts.broken) == set(RULES) - {RULES[2], RULES[8], RULES[10], RULES[11]}
    assert facts.broken[RULES[12]].count == ROWS - 4


def test_rows_are_sampled_for_scales_and_all_where_they_are_few(tmp_path):
    with stored(frame(), tmp_path) as table:
        scale, n = table.measure([], scales=["amount"]).scales["amount"]
    values = frame()["amount"].dropna()
    values = values[values != 0]
    assert n == len(values)
    assert np.allclose(scale, np.quantile(values, LEVELS))


def test_a_column_named_as_duckdb_names_rows_is_a_column_like_others(tmp_path):
    table = frame().rename(columns={"file_row": "file_row_number"})
    with stored(table, tmp_path) as file:
        assert "file_row_number" in file.kinds
        assert file.measure([Rule("amount", "below", -2)]).broken


def test_time_that_runs_backwards_is_found_across_row_groups_and_gaps(tmp_path):
    table = frame()
    table.loc[512, "at"] = table.loc[510, "at"]  # the first row of the second group, before it a gap
    table.loc[511, "at"] = pd.NaT
    table.loc[513, "at"] = table.loc[509, "at"]
    with stored(table, tmp_path) as file:
        broken = file.measure([Rule("at", "backwards")]).broken[Rule("at", "backwards")]
    assert (broken.count, broken.rows) == (1, (513,))


def test_histograms_are_those_of_numpy(tmp_path):
    table = frame()
    moment = int(table["at"].dropna().iloc[1_000].timestamp() * 1e6)
    edges = {"amount": [-1.0, 0.0, 0.5], "pieces": [2, 3, 7], "at": [moment]}
    with stored(table, tmp_path) as file:
        counts = file.histograms(edges)
    for name in ("amount", "pieces"):
        bins = np.searchsorted(edges[name], table[name].dropna(), "right")
        assert counts[name].tolist() == np.bincount(bins, minlength=4).tolist()
    assert counts["at"].tolist() == [1_000, table["at"].notna().sum() - 1_000]


def test_counts_and_quantiles_are_exact(tmp_path):
    table = frame()
    with stored(table, tmp_path) as file:
        assert file.counts("city", most=1) == table["city"].value_counts().head(1).to_dict()
        assert np.allclose(file.quantiles("amount", [0.1, 0.9]), table["amount"].quantile([0.1, 0.9]))
        assert file.present("amount") == 2_700
        assert file.column("amount").equals(table["amount"])
        assert file.column("gone") is None


def test_a_sample_by_content_takes_equal_rows_or_leaves_them(tmp_path):
    half = frame().drop(columns=["at", "file_row"]).assign(n=np.arange(ROWS))
    twice = pd.concat([half, half], ignore_index=True)
    with stored(twice, tmp_path) as file:
        content = [name for name in half if name != "open"]
        sample = file.by_content(content, 1_000, wanted=["n", "open"], filled="amount")
        again = file.by_content(content, 1_000, wanted=["n", "open"], filled="amount")
        assert len(file.by_content(content, 10**6, wanted=["n"], filled=None)) == 2 * ROWS
    assert sample.equals(again)
    assert 800 < len(sample) < 1_200
    assert (sample["n"].value_counts() == 2).all()
    assert not set(sample["n"]) & set(np.flatnonzero(half["amount"].isna()))


def test_objects_of_several_kinds_are_text():
    with aggregates.of_frame(pd.DataFrame({"x": [1, "a", None], "none": [None] * 3})) as table:
        assert table.kinds == {"x": "text", "none": "float"}
        assert table.measure([]).missing == {"x": 1, "none": 3}


@pytest.mark.parametrize("name", ['a "quoted" name', "select", "an umlaut: ö"])
def test_any_name_of_a_column_will_do(name):
    with aggregates.of_frame(pd.DataFrame({name: [1.0, 2.0]})) as table:
        assert table.measure([Rule(name, "above", 1)], scales=[name]).broken[Rule(name, "above", 1)].rows == (1,)
