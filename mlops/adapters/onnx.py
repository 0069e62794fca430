"""A fitted estimator as an ONNX graph with one input per column, in double precision where the runtime can.

scikit-learn compares in float64 (boosting, linear models) or casts to float32 first (forests); a graph
in float32 flips the rows that lie on a threshold. So numbers enter as double, and what skl2onnx writes
in float32 only (imputers, encoders, the classifier's scores) is written here instead.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlops.contract import Contract
from mlops.errors import MlopsError

if TYPE_CHECKING:
    import onnx

Precision = Literal["double", "float"]
MISSING = "\ue000missing"
"""What a missing string is called inside the graph; a private-use character keeps it apart from real text."""

_OPSET = {"": 19, "ai.onnx.ml": 3}


class CannotConvert(MlopsError):
    """The estimator has no ONNX form, for the reason in the message; its skops form is used instead."""

    exit_code = 1


def convert(estimator: Any, contract: Contract, *, precision: Precision = "double") -> bytes:
    """The ONNX model of a fitted estimator: inputs named as the contract's columns, each [rows, 1].

    Its outputs are `label` and, where the estimator gives them, `probabilities` [rows, classes]; for a
    regression one output [rows, 1]. The same estimator gives the same bytes. Raises CannotConvert.
    """
    from skl2onnx import convert_sklearn

    from mlops.adapters import onnx_converters as own

    fitted = _with_columns(_unwrapped(estimator), contract)
    _refuse_what_converts_wrongly(fitted)
    logger = logging.getLogger("skl2onnx")
    level = logger.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logger.setLevel(logging.CRITICAL)
            model = convert_sklearn(
                fitted,
                name=contract.model,
                initial_types=_inputs(contract, precision),
                target_opset=_OPSET,
                options={id(fitted): {"zipmap": False}} if contract.task != "regression" else None,
                custom_conversion_functions=own.CONVERTERS(),
                custom_shape_calculators=own.SHAPES(),
            )
    except MlopsError:
        raise
    except Exception as error:  # skl2onnx raises whatever its converters raise; the reason is kept, skops takes over
        raise _reason(error) from error
    finally:
        logger.setLevel(level)
    return _finished(model, estimator, contract)
