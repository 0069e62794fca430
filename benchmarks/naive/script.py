"""What a team glues together by hand: pytest, deepchecks, scikit-learn, MLflow and BentoML, one after the other.

The same data, features and model as the example's `fraud_v1`; no reuse, nothing side by side.
Usage: python script.py FOLDER DEEPCHECKS_COMMAND…
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = Path(sys.argv[1])
sys.path.insert(0, str(ROOT))
os.environ |= {"BENTOML_HOME": str(FOLDER / "bentoml"), "BENTOML_DO_NOT_TRACK": "true"}
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

tests = [sys.executable, "-m", "pytest", "-q", "tests/features"]
subprocess.run(tests, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

import pandas as pd
from sklearn.metrics import average_precision_score

from features.simulator import transactions
from features.transactions import amount_over_mean_v1, customer_spend_v1, terminal_risk_v1
from models.fraud import fraud_v1

rows = transactions(seed=7).sort_values("event_time")
for view, entity in ((customer_spend_v1, "customer_id"), (terminal_risk_v1, "terminal_id")):
    stored = view(rows).sort_values("event_time")
    rows = pd.merge_asof(rows, stored, on="event_time", by=entity, allow_exact_matches=False)
rows["amount_over_mean_v1"] = amount_over_mean_v1(rows["amount"], rows["mean_7d"])
rows = rows[rows["is_fraud"].notna()]
columns = ["amount", "channel", "mean_7d", "count_7d", "payments_7d", "fraud_share_7d", "amount_over_mean_v1"]
split = int(len(rows) * 0.8)
train, test = rows.iloc[:split], rows.iloc[split:]

fitted = fraud_v1(train[columns], train["is_fraud"].astype(int), {"seed": 42})
for part, name in ((train, "train"), (test, "test")):
    table = part[[*columns, "is_fraud"]].assign(probability=fitted.predict_proba(part[columns])[:, 1])
    table["channel"] = table["channel"].astype(object)
    table.to_parquet(FOLDER / f"{name}.parquet", index=False)
subprocess.run([*sys.argv[2:], str(FOLDER)], check=True, stdout=subprocess.DEVNULL)

import mlflow

mlflow.set_tracking_uri(f"sqlite:///{FOLDER / 'mlflow.db'}")
mlflow.set_experiment("fraud")
with mlflow.start_run():
    score = average_precision_score(test["is_fraud"], fitted.predict_proba(test[columns])[:, 1])
    mlflow.log_metric("average_precision", score)
    mlflow.sklearn.log_model(
        fitted,
        name="fraud",
        serialization_format="cloudpickle",
        pip_requirements=["scikit-learn", "pandas"],
        registered_model_name="fraud",
    )

import bentoml

bentoml.sklearn.save_model("fraud", fitted)
build = FOLDER / "build"
build.mkdir()
shutil.copy(Path(__file__).with_name("service.py"), build / "service.py")
bento = bentoml.build("service:Fraud", build_ctx=str(build), models=["fraud:latest"])
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
server = subprocess.Popen(
    [sys.executable, "-m", "bentoml", "serve", str(bento.tag), "--port", str(port), "--host", "127.0.0.1"],
    cwd=FOLDER,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)
try:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1)
            break
        except OSError:
            time.sleep(0.1)
    body = json.dumps({"rows": json.loads(test[columns].head(1).to_json(orient="records"))}).encode()
    for _ in range(50):
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/predict", data=body, headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(asked, timeout=10).read()
finally:
    server.terminate()
    server.wait()
