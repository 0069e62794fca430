"""What kind of values a column holds, and what a label asks a model to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.declare import Task

if TYPE_CHECKING:
    import pandas as pd

_MOST_CLASSES = 20


def kind_of(values: pd.Series) -> str | None:
    """`number` (booleans too) or `string`, as in a contract; None for times, lists and what else no model reads."""
    import pandas as pd

    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    if pd.api.types.is_bool_dtype(dtype) or (pd.api.types.is_numeric_dtype(dtype) and dtype.kind != "c"):
        return "number"
    if isinstance(dtype, pd.StringDtype):
        return "string"
    if pd.api.types.is_object_dtype(dtype):
        inferred = pd.api.types.infer_dtype(values, skipna=True)
        return {
            "string": "string",
            "empty": "number",
            "boolean": "number",
            "integer": "number",
            "floating": "number",
        }.get(inferred)
    return None


def inferred_task(labels: pd.Series) -> tuple[Task, str]:
    """The task that the labels suggest, and why."""
    import numpy as np

    distinct = labels.nunique()
    if distinct == 2:
        return "binary", f"the label has two values, {' and '.join(repr(v) for v in sorted(labels.unique().tolist()))}"
    if kind_of(labels) == "string":
        return "multiclass", f"the label is text with {distinct} values"
    whole = bool(np.all(np.mod(labels.to_numpy("float64"), 1) == 0))
    if whole and distinct <= _MOST_CLASSES and len(labels) >= 5 * distinct:
        return "multiclass", f"the label has {distinct} whole values"
    return "regression", f"the label is a number with {distinct} values"


def plain_labels(labels: pd.Series) -> pd.Series:
    """Labels (none missing) as bool, int64, float64 or str, whichever holds them without loss."""
    import numpy as np

    if kind_of(labels) == "string":
        return labels.astype(str)
    if labels.map(lambda value: isinstance(value, bool | np.bool_)).all():
        return labels.astype(bool)
    numbers = labels.astype("float64")
    return numbers.astype("int64") if bool((numbers % 1 == 0).all()) else numbers
