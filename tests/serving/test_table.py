from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops.contract import Column, Computed, Contract, Field, model_inputs
from mlops.serving.table import as_series, compute, model_columns, request_columns

KINDS = {"f": "float", "i": "int", "b": "bool", "s": "string"}
AGREED = Contract(
    model="m_v1", task="binary", metric="roc_auc", label="y", classes=(0, 1), stored=(), computed=(),
    fields=tuple(Field(name=name, kind=kind, nullable=True) for name, kind in KINDS.items()),
    columns=(*(Column(name=name, kind="number") for name in "fib"), Column(name="s", kind="string")),
)  # fmt: skip


def test_rows_look_as_they_did_in_training():
    rows = [{"f": 1.5, "i": 2, "b": True, "s": "x"}, {"f": 0.0, "i": -3, "b": False, "s": ""}]
    served = model_columns(request_columns(rows, AGREED), AGREED)
    trained = model_inputs(pd.DataFrame(rows), AGREED)
    for column in AGREED.columns:
        assert served[column.name].dtype == trained[column.name].dtype
        assert served[column.name].tolist() == trained[column.name].tolist()


def test_missing_values_look_as_they_did_in_training():
    rows = [{"f": None, "i": None, "b": None, "s": None}, {"f": 1.0, "i": 1, "b": True, "s": "x"}]
    served = model_columns(request_columns(rows, AGREED), AGREED)
    trained = model_inputs(pd.DataFrame(rows), AGREED)
    for column in AGREED.columns:
        np.testing.assert_array_equal(pd.isna(served[column.name]), pd.isna(trained[column.name]))


@pytest.mark.parametrize(
    ("values", "kind"), [([None], "string"), (["a", None], "string"), ([None], "timestamp"), ([None, 1], "int")]
)
def test_a_series_keeps_its_kind_when_values_are_missing(values, kind):
    series = as_series(values, kind)
    if kind == "string":
        assert series.str.upper().isna().tolist() == [value is None for value in values]
    elif kind == "timestamp":
        assert series.dt.hour.isna().all()
    else:
        assert series.dtype == "float64"


def test_a_computed_feature_of_another_length_is_an_error():
    one = Computed(name="x_v1", module="m", inputs=("f",), kind="number")
    with pytest.raises(ValueError, match="x_v1 gave 1 values for 2 rows"):
        compute(one, lambda series: series.head(1), {"f": [1.0, 2.0]}, KINDS)
