"""A request's rows as the columns a model was trained on: the same two kinds, the same missing values.

What `mlops.contract.model_inputs` does to a DataFrame, this does to a handful of rows without pandas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.contract import Computed, Contract, Stored

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]
Table = dict[str, Any]
"""Column name to the list of its Python values, or to an array where it was computed; all of one length."""


def request_columns(rows: Sequence[Mapping[str, Any]], contract: Contract) -> Table:
    """The fields of the request."""
    return {field.name: [row[field.name] for row in rows] for field in contract.fields}


def stored_columns(stored: Iterable[Mapping[str, Any]], contract: Contract) -> Table:
    """The stored features; one that is not there, or has expired, is missing."""
    rows = list(stored)
    return {one.name: [row.get(one.name) for row in rows] for one in contract.stored}


def model_columns(table: Table, contract: Contract) -> dict[str, Array]:
    """The model's columns, each of shape (rows,): float64 with NaN, or object with NaN."""
    return {
        column.name: numbers(table[column.name]) if column.kind == "number" else strings(table[column.name])
        for column in contract.columns
    }


def numbers(values: Any) -> Array:
    """float64; None becomes NaN, True 1.0."""
    return np.array(values, dtype=np.float64)


def strings(values: Iterable[Any]) -> Array:
    """Strings as objects; None and NaN become NaN."""
    text = [np.nan if value is None or _is_nan(value) else str(value) for value in values]
    array = np.empty(len(text), dtype=object)
    array[:] = text
    return array


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def kinds(contract: Contract) -> dict[str, str]:
    """The kind of every column that an on-demand feature may read: a field's kind, else `float` or `string`."""
    found: dict[str, str] = {field.name: field.kind for field in contract.fields}
    features: tuple[Stored | Computed, ...] = (*contract.stored, *contract.computed)
    for one in features:
        found[one.name] = "float" if one.kind == "number" else "string"
    return found


def compute(one: Computed, function: Callable[..., Any], table: Table, kind_of: Mapping[str, str]) -> list[Any] | Array:
    """An on-demand feature of the rows; the function gets the same kinds of Series as in training."""
    import pandas as pd

    series = [as_series(table[name], kind_of[name]) for name in one.inputs]
    result = pd.Series(function(*series))
    if len(result) != len(series[0]):
        raise ValueError(f"{one.name} gave {len(result)} values for {len(series[0])} rows")
    if one.kind == "number":
        return pd.to_numeric(result).to_numpy(dtype="float64", na_value=np.nan)
    return [None if missing else value for value, missing in zip(result.tolist(), result.isna().tolist(), strict=True)]


def as_series(values: Any, kind: str) -> pd.Series:
    """A Series of the type that a table in training has: whole numbers and truths with a gap become float64."""
    import pandas as pd

    if kind in ("int", "bool") and None not in values:
        return pd.Series(values)
    if kind in ("float", "int", "bool"):
        return pd.Series(numbers(values))
    if kind == "timestamp":
        return pd.Series(values, dtype="datetime64[us]")
    return pd.Series(values, dtype="str" if int(pd.__version__.split(".")[0]) >= 3 else "object")
