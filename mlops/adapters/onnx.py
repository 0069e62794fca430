"""A fitted estimator as an ONNX graph, in double precision where the runtime can.

scikit-learn compares in float64 (boosting, linear models) or casts to float32 first (forests); a graph
in float32 flips the rows that lie on a threshold. So numbers enter as double. The graph has at most two
inputs, `numbers` [rows, n] and `strings` [rows, m], which hold the contract's columns of that kind in
the contract's order: two tensors cost a request less than one per column.
"""

from __future__ import annotations

import copy
import logging
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlops.adapters import onnx_converters, onnx_trees
from mlops.adapters.onnx_graph import LABEL, NUMBERS, PROBABILITIES, STRINGS, CannotConvert, cannot
from mlops.contract import Contract

if TYPE_CHECKING:
    import onnx

Precision = Literal["double", "float"]

_ML = "ai.onnx.ml"
_OPSET = {"": 19, _ML: 3}
_ML_OF_TREES = 5
_IR_VERSION = 10  # what onnxruntime 1.20 reads


def convert(estimator: Any, contract: Contract, *, precision: Precision = "double") -> bytes:
    """The ONNX model of a fitted estimator; the same estimator gives the same bytes.

    Its outputs are `label` [rows] and, where the estimator gives them, `probabilities` [rows, classes] in
    the contract's order; for a regression `label` is [rows, 1] of numbers. Raises CannotConvert with the
    reason, which is normal: many estimators have no ONNX form.
    """
    from skl2onnx import convert_sklearn

    fitted = _by_position(_unwrapped(estimator), contract)
    classifier = contract.task != "regression"
    scored = classifier and hasattr(estimator, "predict_proba")
    inputs, number = _inputs(contract, precision)
    logger = logging.getLogger("skl2onnx")
    level = logger.level
    try:
        logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = convert_sklearn(
                fitted,
                name=contract.model,
                initial_types=inputs,
                target_opset=dict(_OPSET),
                options={id(fitted): {"zipmap": False}} if scored else None,
                custom_conversion_functions=onnx_converters.converters() | onnx_trees.converters(),
                custom_shape_calculators=onnx_converters.shapes(number) | onnx_trees.shapes(number),
            )
    except CannotConvert:
        raise
    except Exception as error:  # converters raise anything; the reason is kept and skops takes over
        raise cannot(_reason(error)) from error
    finally:
        logger.setLevel(level)
    return _finished(model, classifier=classifier, probabilities=scored)


def _inputs(contract: Contract, precision: Precision) -> tuple[list[tuple[str, Any]], type]:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    number = DoubleTensorType if precision == "double" else FloatTensorType
    numbers, strings = contract.by_kind()
    given = [(NUMBERS, number([None, len(numbers)]))] if numbers else []
    return given + ([(STRINGS, StringTensorType([None, len(strings)]))] if strings else []), number


def _unwrapped(estimator: Any) -> Any:
    """The estimator that a finished search found; else the estimator itself."""
    return getattr(estimator, "best_estimator_", estimator)


def _by_position(estimator: Any, contract: Contract) -> Any:
    """A copy whose first ColumnTransformer picks columns by their position among numbers, then strings."""
    if hasattr(estimator, "steps"):
        first, *rest = estimator.steps
        moved = copy.copy(estimator)
        moved.steps = [(first[0], _by_position(first[1], contract)), *rest]
        return moved
    numbers, strings = contract.by_kind()
    if hasattr(estimator, "transformers_"):
        return _repositioned(estimator, [c.name for c in contract.columns], [*numbers, *strings])
    if numbers and strings:
        raise cannot(f"{type(estimator).__name__} reads numbers and strings without a ColumnTransformer")
    return estimator


def _repositioned(transformer: Any, given: list[str], wanted: list[str]) -> Any:
    place = {name: position for position, name in enumerate(wanted)}
    moved = copy.copy(transformer)
    moved.transformers_ = [
        (name, inner, [place[column] for column in _names(columns, given)])
        for name, inner, columns in transformer.transformers_
        if not (isinstance(inner, str) and inner == "drop")
    ]
    return moved


def _names(columns: Any, given: list[str]) -> list[str]:
    """The column names that a ColumnTransformer's selection means: names, positions, a mask or a slice."""
    if isinstance(columns, str):
        raise cannot(f"the column {columns!r} is passed on its own, not as a table of one column")
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            raise cannot("columns are picked by a slice of names")
        return given[columns]
    picked = list(np.atleast_1d(np.asarray(columns, dtype=object)))
    if picked and all(isinstance(p, bool | np.bool_) for p in picked):
        return [name for name, keep in zip(given, picked, strict=True) if keep]
    return [p if isinstance(p, str) else given[int(p)] for p in picked]


def _finished(model: onnx.ModelProto, *, classifier: bool, probabilities: bool) -> bytes:
    graph = model.graph
    if classifier and not probabilities:
        del graph.output[1:]
    for output, name in zip(graph.output, (LABEL, PROBABILITIES), strict=False):
        if classifier and name == LABEL:
            _rename(model, output.name, name)
        else:
            _cast(model, output, name)
        output.name = name
    _settle_trees(model)
    model.ir_version = min(model.ir_version, _IR_VERSION)
    model.doc_string = ""
    _sort_operator_sets(model)
    return bytes(model.SerializeToString(deterministic=True))


def _sort_operator_sets(model: onnx.ModelProto) -> None:
    """skl2onnx lists them in the order of a set of strings, which differs from process to process."""
    ordered = sorted(model.opset_import, key=lambda one: one.domain)
    copies = [(one.domain, one.version) for one in ordered]
    del model.opset_import[:]
    for domain, version in copies:
        model.opset_import.add(domain=domain, version=version)


def _cast(model: onnx.ModelProto, output: onnx.ValueInfoProto, name: str) -> None:
    """Give an output in double: skl2onnx declares its type before it knows what the graph computes with."""
    from onnx import TensorProto, helper

    computed = f"{name}_computed"
    _rename(model, output.name, computed)
    output.type.tensor_type.elem_type = TensorProto.DOUBLE
    model.graph.node.append(helper.make_node("Cast", [computed], [name], name=f"{name}_cast", to=TensorProto.DOUBLE))


def _settle_trees(model: onnx.ModelProto) -> None:
    """Put the TreeEnsemble operators into the domain and version where they are at home."""
    trees = [node for node in model.graph.node if node.domain == onnx_trees.TREES]
    if not trees:
        return
    for node in trees:
        node.domain = _ML
    others = [o for o in model.opset_import if o.domain not in (_ML, onnx_trees.TREES)]
    del model.opset_import[:]
    model.opset_import.extend(others)
    model.opset_import.add(domain=_ML, version=_ML_OF_TREES)


def _rename(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
