"""A schema that fits a table and honest later ones: types, nulls, generous ranges, stable categories, keys.

In the form of a pandera YAML document, as plain values. Generous on purpose: a schema that cries at honest
data gets switched off. Skew worth stopping (a missing column, text among numbers, cents for euros) is larger.
"""

from __future__ import annotations

import keyword
import math
import re
from typing import TYPE_CHECKING, Any

from mlops.facts import LEVELS
from mlops.statistics import units

if TYPE_CHECKING:
    import pandas as pd

FEW = 30
"""So many different words at most are categories."""

_PLENTY, _TAIL = 2, 9  # how often the range seen may be added on a side
_SKEWED = 3  # so much farther from the median on one side than on the other, and there is a tail
_ENOUGH = 20  # rows per category, on average, from which on a list of categories may be complete
_KEY_ROWS = 100
_SCALED_VALUES = 20  # different values from which on quantiles say something about the unit
_ORDERED_ROWS = 1_000  # rows after which an order of two columns that never failed is no accident
_ODD_LETTERS = re.compile(
    "[\ufeff\ufffd\u0080-\u009f]|ï»¿|[ÃÂ][\u00a0-\u00bf\u0152-\u2122]|â€|^\\s*[+-]?\\d+,\\d+\\s*$"
)
_KEY_NAME = re.compile(r"(^|[_\s-])(id|uuid|guid|key|instant)$|[a-z](Id|ID)$", re.IGNORECASE)


def infer(frame: pd.DataFrame, *, source: str) -> dict[str, Any]:
    """The document of a schema for `frame`, ready to be written as YAML and read by pandera."""
    columns = {str(name): infer_column(frame[name]) for name in frame.columns}
    missing = {name: round(float(frame[name].isna().mean()), 4) for name in columns if frame[name].isna().any()}
    metadata: dict[str, Any] = {"rows": len(frame)}
    if missing:
        metadata["missing"] = missing
    scales = {name: scale for name in columns if (scale := _scale(frame[name], columns[name]))}
    if scales:
        metadata["scales"] = scales
    garbled = [name for name in columns if columns[name]["dtype"] == "str" and _has_odd_letters(frame[name])]
    if garbled:
        metadata["garbled"] = garbled
    constraints = _constraints(frame, columns)
    if constraints:
        metadata["constraints"] = constraints
    rising = [name for name in columns if _is_time(frame[name]) and frame[name].dropna().is_monotonic_increasing]
    if rising and len(frame) > 1:
        metadata["increasing"] = rising
    return {
        "schema_type": "dataframe",
        "name": source,
        "metadata": metadata,
        "columns": columns,
        "checks": None,
        "index": None,
        "coerce": False,
        "strict": True,
        "unique": None,
        "ordered": False,
    }


def infer_column(values: pd.Series) -> dict[str, Any]:
    """One column's part of the document."""
    import pandas as pd

    present = values.dropna()
    column: dict[str, Any] = {"dtype": _dtype(values), "nullable": bool(values.isna().any())}
    checks: dict[str, Any] = {}
    named_key = bool(_KEY_NAME.search(str(values.name)))  # keys grow without end and mean no amount
    if pd.api.types.is_bool_dtype(present.dtype) or _is_time(values) or present.empty or named_key:
        pass
    elif pd.api.types.is_numeric_dtype(values):
        checks = _number_checks(present)
    elif _stable(present):
        checks = {"isin": sorted(str(value) for value in present.unique())}
    column["checks"] = checks or None
    column["unique"] = _is_key(values)
    column["required"] = True
    return column


def _scale(values: pd.Series, column: dict[str, Any]) -> list[float] | None:
    """The quantiles by which another unit would be told; None where the column has no scale (keys, codes, switches)."""
    import numpy as np

    if column["dtype"] not in ("int64", "float64") or "in_range" not in (column["checks"] or {}):
        return None
    numbers = values.dropna().to_numpy(dtype=np.float64)
    numbers = numbers[np.isfinite(numbers) & (numbers != 0)]
    if numbers.size < units.LEAST or np.unique(numbers).size < _SCALED_VALUES:
        return None
    found = [float(f"{value:.4g}") for value in np.quantile(numbers, LEVELS)]
    return found if len(set(found)) == len(found) else None


def _has_odd_letters(values: pd.Series) -> bool:
    """Whether text has already what the gate takes for broken letters; then it promises nothing."""
    return any(_ODD_LETTERS.search(str(value)) is not None for value in values.dropna().unique())


def _constraints(frame: pd.DataFrame, columns: dict[str, Any]) -> list[str]:
    """Times of which one was never before the other, and columns named as the lower and the upper end of something."""
    times = [name for name in columns if _is_time(frame[name])]
    pairs = [(a, b) for a in times for b in times if a != b]
    for low, high in _ENDS:
        for name, column in columns.items():
            other = name.replace(low, high, 1)
            if low in name and other != name and other in columns and columns[other]["dtype"] == column["dtype"]:
                pairs.append((name, other))
    return [f"{_named(a)} <= {_named(b)}" for a, b in dict.fromkeys(pairs) if _ordered(frame[a], frame[b])]


_ENDS = (("min", "max"), ("low", "high"), ("lower", "upper"), ("start", "end"), ("begin", "end"), ("first", "last"))


def _ordered(first: pd.Series, second: pd.Series) -> bool:
    import pandas.api.types as kinds

    if not all(kinds.is_numeric_dtype(v.dtype) or _is_time(v) for v in (first, second)):
        return False
    both = first.notna() & second.notna()
    before, after = first[both], second[both]
    enough = len(before) >= _ORDERED_ROWS and (before < after).mean() > 0.5
    return bool(enough and (before <= after).all())


def _named(name: str) -> str:
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"`{name}`"


def _dtype(values: pd.Series) -> str:
    import pandas as pd

    if _is_time(values):
        return "datetime64[us]"
    if pd.api.types.is_bool_dtype(values.dtype):
        return "bool"
    if pd.api.types.is_integer_dtype(values.dtype):
        return "int64"
    return "float64" if pd.api.types.is_numeric_dtype(values.dtype) else "str"


def _number_checks(present: pd.Series) -> dict[str, Any]:
    finite = present[present.abs() != math.inf]
    if finite.empty:
        return {}
    low, high = finite.min().item(), finite.max().item()
    if low == high:
        return {}  # a column that has not varied yet says nothing about where it may go
    if _is_switch(finite):
        return {"isin": [low, high]}
    span = high - low
    # A long tail grows longer with more rows; where there is none, three times the range is plenty.
    least, middle, most = (float(finite.quantile(level)) for level in (0.01, 0.5, 0.99))
    up = _TAIL if most - low < span / 3 or most - middle > _SKEWED * (middle - least) else _PLENTY
    down = _TAIL if high - least < span / 3 or middle - least > _SKEWED * (most - middle) else _PLENTY
    bottom = 0 if _never_negative(finite) else _rounded(low - down * span, up=False)
    top = 0 if high <= 0 else _rounded(high + up * span, up=True)
    kind = int if _dtype(present) == "int64" else float
    return {"in_range": {"min_value": kind(bottom), "max_value": kind(top), "include_min": True, "include_max": True}}


def _is_switch(finite: pd.Series) -> bool:
    """Whether a column is 0 and 1 (or any two neighbours): both often seen, and not only because rows are sorted."""
    counts = finite.value_counts()
    two = len(counts) == 2 and bool((finite % 1 == 0).all()) and finite.max() - finite.min() == 1
    return two and counts.min() >= _ENOUGH and not finite.is_monotonic_increasing


def _never_negative(finite: pd.Series) -> bool:
    """Whether a column without negative values looks like counts, shares or amounts, not like a temperature."""
    low, high = finite.min(), finite.max()
    if low < 0:
        return False
    whole = bool((finite % 1 == 0).all())
    return whole or low == 0 or high <= 1 or bool(finite.median() - low < (high - low) / 4)


def _rounded(value: float, *, up: bool) -> float:
    """`value` with two significant digits, outwards: a bound is read by people."""
    if value == 0:
        return 0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    steps = math.ceil(value / unit) if up else math.floor(value / unit)
    return float(f"{steps * unit:.6g}")


def _stable(present: pd.Series) -> bool:
    """Whether the list of words looks complete: a few, each seen twice, and all of them in the first half."""
    counts = present.value_counts()
    if not 2 <= len(counts) <= FEW or len(present) < _ENOUGH * len(counts) or counts.min() < 2:
        return False
    return int(present.iloc[: len(present) // 2].nunique()) == len(counts)


def _is_key(values: pd.Series) -> bool:
    named = bool(_KEY_NAME.search(str(values.name)))
    return named and len(values) >= _KEY_ROWS and _dtype(values) in ("int64", "str") and bool(values.is_unique)


def _is_time(values: pd.Series) -> bool:
    return getattr(values.dtype, "kind", "") == "M"
