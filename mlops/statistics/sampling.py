"""Positions of a smaller table that stands for a larger one, the same on any machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Positions = NDArray[np.int64]


def stratified(labels: pd.Series | None, rows: int, most: int, *, seed: int) -> Positions:
    """Sorted positions of at most `most` of `rows` rows; each value of `labels` keeps its share, and two rows at least.

    Labels with many values (amounts) are not strata: then rows are drawn evenly.
    """
    import pandas as pd

    if rows <= most:
        return np.arange(rows)
    random = np.random.default_rng(seed)
    codes, values = (np.zeros(rows, int), [0]) if labels is None else pd.factorize(labels)
    if len(values) > most // 100:
        return np.sort(random.choice(rows, most, replace=False))
    drawn: list[NDArray[np.int64]] = []
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        wanted = min(members.size, max(2, members.size * most // rows))
        drawn.append(random.choice(members, wanted, replace=False))
    return np.sort(np.concatenate(drawn))[:most]


def by_content(table: pd.DataFrame, columns: Sequence[str], most: int) -> Positions:
    """Sorted positions of about `most` rows, drawn by content: rows with equal `columns` are all in or all out.

    So the shares of duplicates and of conflicts stay what they are in the whole table.
    """
    from pandas.util import hash_pandas_object

    if len(table) <= most:
        return np.arange(len(table))
    hashes = hash_pandas_object(table[list(columns)], index=False).to_numpy()
    return np.flatnonzero(hashes < np.uint64(2**64 - 1) // np.uint64(len(table)) * np.uint64(most))
