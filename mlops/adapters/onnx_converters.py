"""Converters of our own for skl2onnx: encoders and imputers, exact in double and with missing strings.

An encoder is a table: the row of numbers that it gives for each value of a column. The table is read
off the fitted encoder by asking it (so infrequent, dropped, missing and unseen values come out as it
says), and looked up in the graph. The stock converters lose precision in double (imputer), write NaN as
the text "nan" (encoders) and give a missing value the wrong code (OrdinalEncoder).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops.adapters.onnx_graph import MISSING, answer, cannot, constant, node

_UNSEEN = "\ue001"

Registered = dict[type, Callable[..., None]]


def converters() -> Registered:
    """Estimator type -> the converter that takes precedence over skl2onnx's own."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, TargetEncoder

    lookups: Registered = dict.fromkeys((OneHotEncoder, OrdinalEncoder, TargetEncoder), _encoder)
    return {**lookups, SimpleImputer: _imputer, FunctionTransformer: _function}


def shapes(number: type) -> Registered:
    """Estimator type -> what calculates the type and width of its output; `number` is skl2onnx's tensor type."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, TargetEncoder

    lookups: Registered = dict.fromkeys(
        (OneHotEncoder, OrdinalEncoder, TargetEncoder), functools.partial(_encoder_shape, number=number)
    )
    return {**lookups, SimpleImputer: _same_shape, FunctionTransformer: _same_shape}


def _encoder_shape(operator: Any, *, number: type) -> None:
    width = sum(table.shape[1] for _, table in _tables(operator.raw_operator))
    operator.outputs[0].type = number([operator.inputs[0].get_first_dimension(), width])


def _same_shape(operator: Any) -> None:
    first = _only_input(operator)
    operator.outputs[0].type = type(first.type)(list(first.type.shape))


def _only_input(operator: Any) -> Any:
    if len(operator.inputs) != 1:
        kind = type(operator.raw_operator).__name__
        raise cannot(f"{kind} reads numbers and strings together")
    return operator.inputs[0]


def _encoder(scope: Any, operator: Any, container: Any) -> None:
    """Per column: look the value's position up (unseen: the last), gather that row of the column's table."""
    from skl2onnx.common.data_types import StringTensorType

    source = _only_input(operator)
    find = _find_string if isinstance(source.type, StringTensorType) else _find_number
    parts = []
    for index, (values, table) in enumerate(_tables(operator.raw_operator)):
        if not table.shape[1]:
            continue  # its one column was dropped
        column = node(scope, container, "Gather", [source.full_name, constant(scope, container, [index])], axis=1)
        position = find(scope, container, column, values)
        rows = node(scope, container, "Gather", [constant(scope, container, table), position], axis=0)
        flat = constant(scope, container, [-1, table.shape[1]])
        parts.append(node(scope, container, "Reshape", [rows, flat]))
    answer(scope, operator, container, 0, node(scope, container, "Concat", parts, axis=1))


def _find_string(scope: Any, container: Any, column: str, values: list[Any]) -> str:
    keys = [MISSING if _is_missing(value) else value for value in values]
    if not all(isinstance(key, str) for key in keys):
        raise cannot("an encoder of strings has categories that are no strings")
    return node(
        scope,
        container,
        "LabelEncoder",
        [column],
        op_domain="ai.onnx.ml",
        op_version=2,
        keys_strings=[key.encode() for key in keys],
        values_int64s=list(range(len(keys))),
        default_int64=len(keys),
    )


def _find_number(scope: Any, container: Any, column: str, values: list[Any]) -> str:
    # The position of the first category that equals the number; ArgMax over [rows, categories + 1], whose
    # last column is always 1, gives the last for an unseen one.
    numbers = np.array([np.nan if _is_missing(v) else float(v) for v in values], dtype=np.float64)
    double = node(scope, container, "Cast", [column], to=11)
    equal = node(scope, container, "Equal", [double, constant(scope, container, numbers.reshape(1, -1))])
    is_nan = constant(scope, container, np.isnan(numbers).reshape(1, -1))
    both_nan = node(scope, container, "And", [node(scope, container, "IsNaN", [double]), is_nan])
    hits = node(scope, container, "Cast", [node(scope, container, "Or", [equal, both_nan])], to=1)
    padded = node(
        scope,
        container,
        "Pad",
        [hits, constant(scope, container, [0, 0, 0, 1]), constant(scope, container, np.float32(1))],
    )
    return node(scope, container, "ArgMax", [padded], axis=1, keepdims=1)


def _tables(encoder: Any) -> list[tuple[list[Any], npt.NDArray[np.float64]]]:
    """Per column its values and the encoder's rows for them, (values + 1) x width; the last is for unseen ones."""
    columns = [list(categories) for categories in encoder.categories_]
    base = [values[0] if values else None for values in columns]
    if any(value is None for value in base):
        raise cannot(f"{type(encoder).__name__} has a column without categories")
    starts = _starts(encoder, columns)
    return [
        (values, _rows(encoder, base, index, values)[:, starts[index] : starts[index + 1]])
        for index, values in enumerate(columns)
    ]


def _rows(encoder: Any, base: list[Any], index: int, values: list[Any]) -> npt.NDArray[np.float64]:
    unseen = _UNSEEN if any(isinstance(v, str) for v in values) else _beyond(values)
    asked = np.array([base] * (len(values) + 1), dtype=object)
    asked[:, index] = [*values, unseen]
    if not any(isinstance(v, str) for row in asked for v in row):
        asked = asked.astype(np.float64)
    try:
        answer = encoder.transform(_named(encoder, asked))
    except ValueError as error:
        raise cannot(
            f'{type(encoder).__name__}(handle_unknown="error") refuses values that it has not seen, which ONNX cannot',
            'set handle_unknown="ignore" (OneHotEncoder) or "use_encoded_value" (OrdinalEncoder)',
        ) from error
    dense = answer.toarray() if hasattr(answer, "toarray") else np.asarray(answer)
    return np.asarray(dense, dtype=np.float64)


def _named(encoder: Any, values: npt.NDArray[Any]) -> Any:
    if not hasattr(encoder, "feature_names_in_"):
        return values
    import pandas as pd

    return pd.DataFrame(values, columns=encoder.feature_names_in_)


def _starts(encoder: Any, columns: list[list[Any]]) -> list[int]:
    """Where each column's part of the output begins, and where the last one ends."""
    if getattr(encoder, "target_type_", "") == "multiclass":
        raise cannot("TargetEncoder of several classes has no ONNX form")
    widths = [1] * len(columns)
    if hasattr(
        encoder, "drop_idx_"
    ):  # OneHotEncoder: a number per category, infrequent ones together, less the dropped
        dropped = [None] * len(columns) if encoder.drop_idx_ is None else encoder.drop_idx_
        rare = getattr(encoder, "infrequent_categories_", [None] * len(columns))
        widths = [
            len(values) - (0 if few is None else len(few) - 1) - (0 if drop is None else 1)
            for values, few, drop in zip(columns, rare, dropped, strict=True)
        ]
    return [0, *np.cumsum(widths).tolist()]


def _beyond(values: list[Any]) -> float:
    known = [float(v) for v in values if not _is_missing(v)]
    return max(known, default=0.0) + 1.5


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _imputer(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.common.data_types import StringTensorType

    imputer, source = operator.raw_operator, _only_input(operator)
    if getattr(imputer, "add_indicator", False):
        raise cannot("SimpleImputer(add_indicator=True) has no ONNX form")
    if not _is_missing(imputer.missing_values):
        raise cannot(f"SimpleImputer(missing_values={imputer.missing_values!r}) has no ONNX form")
    fill = np.asarray(imputer.statistics_)
    if any(_is_missing(value) for value in fill):
        raise cannot("SimpleImputer dropped a column that was all missing")
    if isinstance(source.type, StringTensorType):
        absent = node(scope, container, "Equal", [source.full_name, constant(scope, container, np.array([MISSING]))])
        filling = constant(scope, container, fill.astype(object).reshape(1, -1))
    else:
        absent = node(scope, container, "IsNaN", [source.full_name])
        filling = constant(scope, container, fill.reshape(1, -1).astype(_numpy_type(source)))
    answer(scope, operator, container, 0, node(scope, container, "Where", [absent, filling, source.full_name]))


def _function(scope: Any, operator: Any, container: Any) -> None:
    transformer, source = operator.raw_operator, _only_input(operator)
    known = {None: "Identity", np.log: "Log", np.exp: "Exp", np.sqrt: "Sqrt", np.abs: "Abs", np.log1p: "Log"}
    function = transformer.func
    if function not in known or transformer.kw_args:
        raise cannot(f"FunctionTransformer({getattr(function, '__name__', function)}) has no ONNX form")
    name = source.full_name
    if function is np.log1p:
        name = node(scope, container, "Add", [name, constant(scope, container, np.ones(1, _numpy_type(source)))])
    answer(scope, operator, container, 0, node(scope, container, known[function], [name]))


def _numpy_type(variable: Any) -> type[np.floating[Any]]:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    if isinstance(variable.type, DoubleTensorType):
        return np.float64
    if isinstance(variable.type, FloatTensorType):
        return np.float32
    raise cannot("numbers and strings meet in one transformer")
