"""One model in all the forms that the servers want: boosted trees on eight numbers and two words, as tables are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops.adapters import models, onnx
from mlops.contract import Column, Contract, Field
from mlops.release import CONTRACT, GOLDEN
from mlops.serving.predictors import SkopsFacts
from mlops.serving.runtime import LoadedRelease

NUMBERS, WORDS, ROWS = 8, 2, 5000


@dataclass(frozen=True)
class Model:
    """Where each form lies, and a row to ask about."""

    row: dict[str, Any]
    fast: Path  # payload of a release, ONNX
    skops: Path  # payload of a release that stays in skops
    onnx: Path
    joblib: Path
    mlflow: Path


def make(home: Path) -> Model:
    """Fit it and write it everywhere below `home`."""
    import joblib
    import mlflow.sklearn

    random = np.random.default_rng(1)
    numbers, words = [f"x{i}" for i in range(NUMBERS)], [f"w{i}" for i in range(WORDS)]
    X = pd.DataFrame(random.normal(size=(ROWS, NUMBERS)), columns=numbers)
    for name in words:
        X[name] = random.choice(["chip", "web", "stripe", "phone"], ROWS).astype(object)
    y = ((X["x0"] * X["x1"] + X["x2"] + random.normal(scale=0.3, size=ROWS)) > 0).astype(int)
    prepared = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
    )
    fitted = make_pipeline(prepared, GradientBoostingClassifier(n_estimators=50)).fit(X, y)
    contract = Contract(
        model="bench_v1",
        task="binary",
        metric="roc_auc",
        label="y",
        classes=(0, 1),
        fields=(
            *(Field(name=name, kind="float", nullable=False, example=0.5) for name in numbers),
            *(Field(name=name, kind="string", nullable=False, example="chip") for name in words),
        ),
        stored=(),
        computed=(),
        columns=(
            *(Column(name=name, kind="number") for name in numbers),
            *(Column(name=name, kind="string") for name in words),
        ),
    )
    joblib.dump(fitted, home / "model.joblib")
    mlflow.sklearn.save_model(
        fitted, home / "mlflow", serialization_format="cloudpickle", pip_requirements=["scikit-learn"]
    )
    graph = onnx.convert(fitted, contract)
    fast, slow = home / "fast" / "release", home / "slow" / "release"
    for payload in (fast, slow):
        payload.mkdir(parents=True)
        (payload / CONTRACT).write_bytes(msgspec.json.encode(contract))
        (payload / GOLDEN).write_bytes(b"[]")
    (fast / "model.onnx").write_bytes(graph)
    data = models.dump(fitted)
    (slow / "model.skops").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    (slow / "model.json").write_bytes(msgspec.json.encode(SkopsFacts(digest=digest, trusted=())))
    row = {name: round(float(value), 6) if name in numbers else value for name, value in X.iloc[0].items()}
    for payload in (fast, slow):
        _golden(payload, row)
    return Model(row, fast, slow, fast / "model.onnx", home / "model.joblib", home / "mlflow")


def _golden(payload: Path, row: dict[str, Any]) -> None:
    loaded = LoadedRelease(release="", payload=payload, source=payload.parent, online=None)
    answer = loaded.answer(loaded.decoder.convert([row]))[0]
    kept = {key: value for key, value in answer.items() if key != "release"}
    (payload / GOLDEN).write_bytes(msgspec.json.encode([{"request": row, "stored": {}, "answer": kept}]))
