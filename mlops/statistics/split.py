"""Two sides of a table: the newest rows by time, or a stable share by content. Masks of shape (rows,)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops.statistics.kinds import kind_of

if TYPE_CHECKING:
    import pandas as pd

_MIX = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio in 64 bits, as in splitmix64


def by_time(times: NDArray[np.int64], share: float, gap: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Training rows and held-out rows: the newest `share`, and those whose labels were known when it began.

    Rows of one moment stay together. `gap` is the label's delay in the unit of `times`; a training row is older
    than the first held-out row, and by the gap at least. Rows in between are on neither side.
    """
    if times.size == 0:
        return np.zeros(0, bool), np.zeros(0, bool)
    first = np.sort(times)[min(int(times.size * (1 - share)), times.size - 1)]
    held_out = times >= first
    return ~held_out & (times <= first - gap), held_out


def by_content(table: pd.DataFrame, columns: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Held-out rows: about `share` of the distinct contents of `columns`, equal rows on one side.

    A row stays on its side when others are added or removed, on any machine.
    """
    return contents(table, columns) < np.uint64(int(share * 2**64))


def contents(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.uint64]:
    """A number for each row that equal rows share, on any machine."""
    import pandas as pd

    mixed: NDArray[np.uint64] = np.zeros(len(table), dtype=np.uint64)
    for name in columns:
        values = table[name]
        if pd.api.types.is_datetime64_any_dtype(values):
            # As text, one row with a fraction of a second would change the text of all others.
            values = pd.Series(moments(values), index=values.index).astype("float64").where(values.notna())
        if values.dtype == object and kind_of(values) == "number":
            values = values.astype("float64")  # truth values with gaps
        if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            numbers = values.to_numpy(dtype="float64", na_value=np.nan)
            # 0.0 and -0.0, and all NaNs, count as equal.
            plain = np.where(np.isnan(numbers), np.nan, numbers + 0.0)
            hashed = pd.util.hash_array(plain)
        else:
            text = values.astype(str).where(values.notna(), "\0missing").to_numpy(dtype=object)
            hashed = pd.util.hash_array(text, categorize=True)
        mixed = (mixed ^ hashed) * _MIX
        mixed ^= mixed >> np.uint64(29)
    return mixed


def moments(times: pd.Series) -> NDArray[np.int64]:
    """Microseconds since 1970 of a column of times; of numbers that grow with time, their rank."""
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(times):
        return np.asarray(times.rank(method="dense"), dtype=np.int64)
    plain = pd.to_datetime(times, utc=True).dt.tz_localize(None)
    return np.asarray(plain.astype("datetime64[us]").astype("int64"), dtype=np.int64)
