"""PROMISES 30: recording a release with its model beside MLflow's own way, and lookups beside 10,000 recorded runs.

MLflow's own way is `log_model` with explicit requirements, parameters, metrics and a registered version, on the same
kind of database. Both have been used once before, so that neither pays for an import or for tables.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.ratio import Ratio, alternating
from tests import small

_ROUNDS = 10
_MANY = 10_000


def measure() -> list[Ratio]:
    """Medians, in turn."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = alternating(*_recording(Path(folder)), rounds=_ROUNDS)
        many, few = alternating(*(_lookup(Path(folder) / str(n), n) for n in (_MANY, 10)), rounds=_ROUNDS)
    return [
        Ratio("30", "recording a release / mlflow's log_model", ours, theirs, 1.5),
        Ratio("30", f"1,000 lookups and touches, {_MANY:,} records / 10", many, few, 1.5),
    ]


def _recording(folder: Path) -> tuple[Any, Any]:
    from mlops.adapters.ledger import Ledger
    from mlops.contract import Contract
    from mlops.release import CONTRACT, MANIFEST, PAYLOAD, Manifest

    root = small.churn(folder / "shop")
    (name,) = small.go(root).report.releases
    release = root / ".mlops" / "releases" / name
    manifest = msgspec.json.decode((release / MANIFEST).read_bytes(), type=Manifest)
    contract = msgspec.json.decode((release / PAYLOAD / CONTRACT).read_bytes(), type=Contract)
    ledger = Ledger(folder / "ours", "shop")
    numbers = count()

    def ours() -> None:
        again = dataclasses.replace(manifest, release=f"churn_v1-{next(numbers):012x}")
        ledger.register(again, contract, release / PAYLOAD, ledger.begin("push", {}), {})

    theirs = _log_model(folder / "theirs", manifest)
    ours()
    theirs()
    return ours, theirs


def _log_model(folder: Path, manifest: Any) -> Any:
    import mlflow
    from mlflow import MlflowClient
    from mlflow.models import infer_signature

    folder.mkdir()
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    rows = small.customers().drop(columns="left").select_dtypes("number")
    model = _fitted(rows)
    signature = infer_signature(rows, model.predict(rows))
    experiment = MlflowClient(uri, uri).create_experiment("shop", artifact_location=(folder / "artifacts").as_uri())

    def theirs() -> None:
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(uri)  # MLflow's fluent calls know one server at a time
        try:
            with mlflow.start_run(experiment_id=experiment):
                mlflow.log_params(dict(manifest.params))
                mlflow.log_metrics(dict(manifest.metrics))
                mlflow.sklearn.log_model(
                    model,
                    name="model",
                    signature=signature,
                    pip_requirements=["scikit-learn"],
                    registered_model_name="churn",
                    skops_trusted_types=[],
                )
        finally:
            mlflow.set_tracking_uri(before)

    return theirs


def _fitted(rows: Any) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, small.customers()["left"])


def _lookup(folder: Path, records: int) -> Any:
    from mlops.adapters.index import Entry, Index
    from mlops.verdict import Record

    index = Index(folder / "index.db")
    facts = {"text": "x" * 3000}
    index.take(
        Entry(record=Record(step="train", subject=f"m{i % 50}", key=f"{i:064x}", facts=facts)) for i in range(records)
    )

    def look() -> None:
        for i in range(1000):
            index.find(f"{i % 10:064x}")
            index.latest("train", f"m{i % 10}")
            index.touch(f"{i % 10:064x}")

    return look
