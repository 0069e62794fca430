from __future__ import annotations

import numpy as np
import pandas as pd

from mlops.statistics.sampling import by_content, stratified


def test_a_small_table_is_taken_whole():
    assert stratified(None, 10, 20, seed=0).tolist() == list(range(10))
    assert by_content(pd.DataFrame({"a": range(10)}), ["a"], 20).tolist() == list(range(10))


def test_a_rare_class_keeps_its_share():
    labels = pd.Series(np.arange(100_000) % 200 == 0)
    rows = stratified(labels, len(labels), 10_000, seed=0)
    assert len(rows) <= 10_000
    assert labels.iloc[rows].sum() == 50


def test_the_same_seed_draws_the_same_rows_and_another_seed_others():
    labels = pd.Series(np.arange(1_000) % 3)
    assert (stratified(labels, 1_000, 100, seed=1) == stratified(labels, 1_000, 100, seed=1)).all()
    assert (stratified(labels, 1_000, 100, seed=1) != stratified(labels, 1_000, 100, seed=2)).any()


def test_copies_of_a_row_are_all_in_or_all_out():
    table = pd.DataFrame({"a": np.repeat(np.arange(20_000), 3)})
    rows = by_content(table, ["a"], 6_000)
    assert 5_000 < len(rows) < 7_000
    assert (table["a"].iloc[rows].value_counts() == 3).all()
