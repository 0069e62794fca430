"""Two sides of a table: time with a gap, or content."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from mlops.statistics.split import by_content, by_time

moments = st.lists(st.integers(0, 50), max_size=60).map(lambda values: np.array(values, dtype=np.int64))


@given(times=moments, share=st.floats(0.05, 0.95), gap=st.integers(0, 20))
def test_no_training_row_is_within_the_gap_of_a_held_out_row(times: np.ndarray, share: float, gap: int) -> None:
    train, holdout = by_time(times, share, gap)
    assert not (train & holdout).any()
    if times.size:
        first = times[holdout].min()
        assert (times[~holdout] < first).all()
        assert holdout.sum() >= int(times.size * share)
        expected = (times < first) & (times + gap <= first)
        np.testing.assert_array_equal(train, expected)


def test_about_the_share_is_held_out_and_equal_rows_stay_together() -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"a": random.normal(size=4000), "b": random.choice(["x", "y", None], 4000)})
    holdout = by_content(table, ["a", "b"], 0.2)
    assert 0.17 < holdout.mean() < 0.23
    order = random.permutation(4000)
    np.testing.assert_array_equal(by_content(table.iloc[order], ["a", "b"], 0.2), holdout[order])


def test_the_side_of_a_row_is_the_same_whatever_type_holds_its_values() -> None:
    whole = pd.DataFrame({"a": [1, 2, 3, 4, 5, 0], "b": ["x", "y", "z", "u", "v", "w"]})
    other = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0, 5.0, -0.0], "b": whole["b"].astype("category").astype(object)})
    np.testing.assert_array_equal(by_content(whole, ["a", "b"], 0.5), by_content(other, ["a", "b"], 0.5))


def test_the_side_of_a_row_never_changes_between_releases_of_ours() -> None:
    table = pd.DataFrame({"a": np.arange(12), "b": list("abcdefghijkl")})
    assert by_content(table, ["a", "b"], 0.3).nonzero()[0].tolist() == [3, 6, 7, 8, 10, 11]
