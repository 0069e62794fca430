"""BentoML's typed endpoint in stock settings, with the ONNX model."""

from __future__ import annotations

import json
import os

import bentoml
import numpy as np
import onnxruntime
from pydantic import create_model

_numbers, _words = json.loads(os.environ["RIVAL_NUMBERS"]), json.loads(os.environ["RIVAL_WORDS"])
Row = create_model("Row", **dict.fromkeys(_numbers, (float, ...)), **dict.fromkeys(_words, (str, ...)))


@bentoml.service(workers=1)
class Typed:
    """Answers one row."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["RIVAL_ONNX"], options, providers=["CPUExecutionProvider"]
        )

    @bentoml.api
    def predict(self, row: Row) -> dict[str, float]:
        """The label and its probability."""
        numbers = np.array([[getattr(row, name) for name in _numbers]], dtype=np.float64)
        words = np.array([[getattr(row, name) for name in _words]], dtype=object)
        label, chances = self.session.run(["label", "probabilities"], {"numbers": numbers, "strings": words})
        return {"prediction": int(label[0]), "probability": float(chances[0, 1])}
