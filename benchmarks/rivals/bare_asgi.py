"""The limit: an ASGI app that does nothing but read JSON, call the ONNX model and write JSON."""

from __future__ import annotations

import json
import os

import numpy as np
import onnxruntime

_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = 1
_session = onnxruntime.InferenceSession(os.environ["RIVAL_ONNX"], _options, providers=["CPUExecutionProvider"])
_numbers, _words = json.loads(os.environ["RIVAL_NUMBERS"]), json.loads(os.environ["RIVAL_WORDS"])


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    row = json.loads((await receive())["body"])
    numbers = np.array([[row[name] for name in _numbers]], dtype=np.float64)
    words = np.array([[row[name] for name in _words]], dtype=object)
    label, chances = _session.run(["label", "probabilities"], {"numbers": numbers, "strings": words})
    body = json.dumps({"prediction": int(label[0]), "probability": float(chances[0, 1])}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
