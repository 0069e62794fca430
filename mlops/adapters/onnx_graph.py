"""What a converted model is made of: the names at its edges, nodes, constants, and how to give up.

Imports nothing of onnx by itself: the service reads the names here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops.errors import MlopsError

NUMBERS, STRINGS = "numbers", "strings"
"""The graph's inputs, [rows, columns of that kind]."""

LABEL, PROBABILITIES = "label", "probabilities"
"""The graph's outputs."""

MISSING = "\ue000"
"""What a missing string is called inside the graph; a private-use character keeps it apart from real text."""


class CannotConvert(MlopsError):
    """The estimator has no ONNX form, for the reason in the message; its skops form is used instead."""

    exit_code = 1


def cannot(reason: str, next_step: str = "nothing must be done: the skops form is used") -> CannotConvert:
    """The error that says why there is no ONNX form."""
    return CannotConvert(reason, next_step=next_step)


def node(scope: Any, container: Any, kind: str, inputs: list[str], **attributes: Any) -> str:
    """Add a node of one output; gives the output's name."""
    output: str = scope.get_unique_variable_name(kind.lower())
    container.add_node(kind, inputs, output, name=scope.get_unique_operator_name(kind), **attributes)
    return output


def constant(scope: Any, container: Any, value: Any) -> str:
    """Add a constant tensor (integers are int64); gives its name."""
    from onnx import TensorProto

    array = np.asarray(value)
    kinds = {"i": TensorProto.INT64, "b": TensorProto.BOOL, "O": TensorProto.STRING, "U": TensorProto.STRING}
    kind = kinds.get(array.dtype.kind) or (TensorProto.DOUBLE if array.dtype == np.float64 else TensorProto.FLOAT)
    flat = array.ravel().tolist()
    if kind == TensorProto.STRING:
        flat = [text.encode() for text in flat]
    name: str = scope.get_unique_variable_name("constant")
    container.add_initializer(name, kind, list(array.shape), flat)
    return name


def answer(scope: Any, operator: Any, container: Any, index: int, value: str) -> None:
    """Make `value` the operator's output number `index`, in the type that was declared for it."""
    from skl2onnx.common.data_types import guess_proto_type

    output = operator.outputs[index]
    name = scope.get_unique_operator_name("Cast")
    container.add_node("Cast", value, output.full_name, name=name, to=guess_proto_type(output.type))
