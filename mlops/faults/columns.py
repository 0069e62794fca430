"""A column of a table, broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SHARE = 10
"""Every tenth row is touched."""


def set_first(
    frame: pd.DataFrame, names: Sequence[str], broken: Callable[[pd.Series], pd.Series | None]
) -> pd.DataFrame | None:
    """The table with the first of `names` broken; None without a name, or where the fault does not apply."""
    if not names:
        return None
    values = broken(frame[names[0]])
    return None if values is None else frame.assign(**{names[0]: values})


def every_tenth(values: pd.Series, value: Any) -> pd.Series:
    """The column with `value` in every tenth row."""
    keep = np.arange(len(values)) % SHARE != 0
    return values.where(keep) if value is None else values.astype(object).where(keep, value).astype(str)


def every_fifth(values: pd.Series, other: pd.Series) -> pd.Series:
    """The column with another column's value in every fifth row."""
    return values.where(np.arange(len(values)) % 5 != 0, other)


def repeated(values: pd.Series) -> pd.Series:
    """The column with its last value in every tenth row as well."""
    return values.where(np.arange(len(values)) % SHARE != 0, values.iloc[-1])


def as_number(values: pd.Series) -> pd.Series:
    """The column as numbers: its own, or codes of its sorted values; missing ones stay missing."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype("float64")
    codes = pd.Series(pd.factorize(values, sort=True)[0], index=values.index).astype("float64")
    return codes.mask(values.isna())
