"""FastAPI with a model of the row and the ONNX model, as its tutorial writes it."""

import json
import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import create_model

_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = 1
_session = onnxruntime.InferenceSession(os.environ["RIVAL_ONNX"], _options, providers=["CPUExecutionProvider"])
_numbers, _words = json.loads(os.environ["RIVAL_NUMBERS"]), json.loads(os.environ["RIVAL_WORDS"])
Row = create_model("Row", **dict.fromkeys(_numbers, (float, ...)), **dict.fromkeys(_words, (str, ...)))
app = FastAPI()


@app.post("/predict")
async def predict(row: Row) -> dict[str, float]:
    numbers = np.array([[getattr(row, name) for name in _numbers]], dtype=np.float64)
    words = np.array([[getattr(row, name) for name in _words]], dtype=object)
    label, chances = _session.run(["label", "probabilities"], {"numbers": numbers, "strings": words})
    return {"prediction": int(label[0]), "probability": float(chances[0, 1])}
