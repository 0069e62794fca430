"""A packaged model that answers: by ONNX Runtime without pandas, or by scikit-learn from a skops file.

What a column looks like is the contract's: float64 with NaN, or strings as objects with NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from mlops.adapters.onnx_file import demand_self_contained
from mlops.adapters.onnx_graph import LABEL, MISSING, NUMBERS, PROBABILITIES, STRINGS
from mlops.contract import Contract
from mlops.errors import GateFailed

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]
Columns = Mapping[str, Any]
"""By the name of a contract's column: its values in an array of shape (n,)."""

ONNX_FILE, SKOPS_FILE, SKOPS_FACTS = "model.onnx", "model.skops", "model.json"


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of n rows: `values` are labels of the contract's classes, or numbers, shape (n,).

    `probabilities` are float64, shape (n, classes) in the contract's order; None where the model has none.
    """

    values: Array
    probabilities: npt.NDArray[np.float64] | None

    def take(self, rows: Sequence[int] | Array) -> Prediction:
        """The prediction of some of the rows, by position."""
        picked = np.asarray(rows, dtype=np.intp)
        return Prediction(
            np.asarray(self.values)[picked], None if self.probabilities is None else self.probabilities[picked]
        )


class Predictor(Protocol):
    """A loaded model; `fast` where one row takes microseconds, so that it needs no thread of its own."""

    fast: ClassVar[bool]

    def predict(self, columns: Columns) -> Prediction:
        """The answers for the contract's columns, each of shape (n,)."""


class SkopsFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What travels beside a skops file: its digest, and the types that the user added to the trusted ones."""

    digest: str
    trusted: tuple[str, ...] = ()


class OnnxPredictor:
    """A model in ONNX Runtime, one thread: a row is too little work to share."""

    fast: ClassVar[bool] = True

    def __init__(self, model: Path | bytes, contract: Contract) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        data = model if isinstance(model, bytes) else model.read_bytes()
        demand_self_contained(data, "the model" if isinstance(model, bytes) else str(model))
        # As bytes, so that the runtime has no folder to look for other files in.
        self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._numbers, self._strings = contract.by_kind()
        self._dtype = _number_type(self._session)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._label = _labels(contract)

    def predict(self, columns: Columns) -> Prediction:
        """The answers for the contract's columns: arrays of shape (n,), or a request's values in lists of n."""
        feeds: dict[str, Array] = {}
        if self._numbers:
            # Rows last: one call for all columns. None becomes NaN, True 1.0.
            matrix = np.array([columns[name] for name in self._numbers], dtype=np.float64)
            feeds[NUMBERS] = np.ascontiguousarray(matrix.T, dtype=self._dtype)
        if self._strings:
            feeds[STRINGS] = _texts([columns[name] for name in self._strings])
        answers = dict(zip(self._outputs, self._session.run(self._outputs, feeds), strict=True))
        chances = answers.get(PROBABILITIES)
        return Prediction(
            self._label(answers[LABEL].ravel()), None if chances is None else chances.astype(np.float64, copy=False)
        )


class SkopsPredictor:
    """A scikit-learn estimator, through a DataFrame."""

    fast: ClassVar[bool] = False

    def __init__(self, estimator: Any, contract: Contract) -> None:
        self._estimator = estimator
        self._contract = contract

    def predict(self, columns: Columns) -> Prediction:
        """The answers for the contract's columns, each of shape (n,)."""
        import pandas as pd

        kinds = {"number": "float64", "string": "object"}
        frame = pd.DataFrame(
            {c.name: pd.Series(columns[c.name], dtype=kinds[c.kind]) for c in self._contract.columns}, copy=False
        )
        return answers(self._estimator, frame, self._contract)


def load_predictor(payload: Path, contract: Contract) -> Predictor:
    """The model in a payload folder; GateFailed when it is not whole or holds a type that nobody trusts."""
    if (payload / ONNX_FILE).exists():
        return _onnx(payload / ONNX_FILE, contract)
    if not (payload / SKOPS_FILE).exists() or not (payload / SKOPS_FACTS).exists():
        raise GateFailed(
            f"{payload} holds no model: neither {ONNX_FILE} nor {SKOPS_FILE} with {SKOPS_FACTS}",
            next_step="make the release again with `mlops run`",
        )
    from mlops.adapters import models

    facts = msgspec.json.decode((payload / SKOPS_FACTS).read_bytes(), type=SkopsFacts)
    estimator = models.load(payload / SKOPS_FILE, digest=facts.digest, trusted=facts.trusted)
    return SkopsPredictor(estimator, contract)


def _onnx(path: Path, contract: Contract) -> Predictor:
    try:
        return OnnxPredictor(path, contract)
    except GateFailed:
        raise
    except Exception as error:  # the runtime raises its own kinds for a graph that it cannot run
        reason = " ".join(str(error).split())[:300]
        step = "make the release again with `mlops run`"
        raise GateFailed(f"{path} is refused by ONNX Runtime: {reason}", next_step=step) from error


def answers(estimator: Any, frame: pd.DataFrame, contract: Contract) -> Prediction:
    """What a fitted estimator says of the rows of `frame` (its model columns, as `model_inputs` gives them)."""
    from sklearn.pipeline import Pipeline

    if type(estimator) is Pipeline and len(estimator.steps) > 1 and hasattr(estimator, "predict_proba"):
        # Both calls below begin with the same transformations: once is enough.
        rows = estimator[:-1].transform(frame)
        return _answers(estimator[-1], rows, contract)
    return _answers(estimator, frame, contract)


def _answers(estimator: Any, frame: Any, contract: Contract) -> Prediction:
    values = np.asarray(estimator.predict(frame))
    if contract.task == "regression":
        return Prediction(values.astype(np.float64).reshape(len(values)), None)
    if not hasattr(estimator, "predict_proba"):
        return Prediction(values, None)
    return Prediction(values, _in_order(estimator.predict_proba(frame), list(estimator.classes_), contract))


def columns_of(frame: pd.DataFrame, contract: Contract) -> dict[str, Array]:
    """The columns of a frame of model inputs, as a predictor takes them."""
    return {c.name: frame[c.name].to_numpy(np.float64 if c.kind == "number" else object) for c in contract.columns}


def _in_order(chances: Array, known: list[Any], contract: Contract) -> npt.NDArray[np.float64]:
    """Columns in the contract's order; a class that the estimator never saw has probability 0."""
    chances = np.asarray(chances, dtype=np.float64)
    if known == list(contract.classes):
        return chances
    ordered = np.zeros((len(chances), len(contract.classes)))
    for position, name in enumerate(contract.classes):
        if name in known:
            ordered[:, position] = chances[:, known.index(name)]
    return ordered


def _number_type(session: Any) -> type[np.floating[Any]]:
    kinds = {i.name: i.type for i in session.get_inputs()}
    return np.float32 if kinds.get(NUMBERS) == "tensor(float)" else np.float64


def _labels(contract: Contract) -> Callable[[Array], Array]:
    """From the graph's labels, int64 or text, to the contract's."""
    if contract.task == "regression":
        return lambda found: found.astype(np.float64, copy=False)
    first = contract.classes[0]
    if isinstance(first, bool):
        return lambda found: found.astype(bool)
    if isinstance(first, float):
        return lambda found: found.astype(np.float64)
    return lambda found: found


def _texts(columns: Sequence[Any]) -> Array:
    texts = np.empty((len(columns[0]), len(columns)), dtype=object)
    for place, values in enumerate(columns):
        texts[:, place] = [value if isinstance(value, str) else _text(value) for value in values]
    return texts


def _text(value: Any) -> str:
    return MISSING if value is None or value != value else str(value)  # noqa: PLR0124  # NaN is not itself
