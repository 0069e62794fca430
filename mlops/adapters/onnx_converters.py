"""Converters of our own for skl2onnx: encoders and imputers, exact in double and with missing strings.

An encoder is a table: the row of numbers that it gives for each value of a column. The table is read
off the fitted encoder by asking it (so infrequent, dropped, missing and unseen values come out as it
says), and looked up in the graph. The stock converters lose precision in double (imputer), write NaN as
the text "nan" (encoders) and give a missing value the wrong code (OrdinalEncoder).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlops.adapters.onnx_missing import MISSING
from mlops.errors import MlopsError

_UNSEEN = "\ue000unseen"


class CannotConvert(MlopsError):
    """The estimator has no ONNX form, for the reason in the message; its skops form is used instead."""

    exit_code = 1


def cannot(reason: str, next_step: str = "keep skops, or change the model") -> CannotConvert:
    """The error that says why there is no ONNX form."""
    return CannotConvert(reason, next_step=next_step)


def converters() -> dict[type, Callable[..., None]]:
    """Estimator type -> converter that takes precedence over skl2onnx's own."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

    return dict.fromkeys((OneHotEncoder, OrdinalEncoder, TargetEncoder), _encoder) | {SimpleImputer: _imputer}


def shapes() -> dict[type, Callable[..., None]]:
    """Estimator type -> calculator of the type and width of its output."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

    return dict.fromkeys((OneHotEncoder, OrdinalEncoder, TargetEncoder), _encoder_shape) | {SimpleImputer: _same_shape}


def _encoder_shape(operator: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    width = len(operator.raw_operator.get_feature_names_out())
    wide = any(isinstance(i.type, DoubleTensorType) for i in operator.inputs) or _is_double(operator)
    kind = DoubleTensorType if wide else FloatTensorType
    operator.outputs[0].type = kind([operator.inputs[0].get_first_dimension(), width])
