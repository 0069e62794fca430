"""Small releases made by hand: a logistic regression on a request field, a stored and an on-demand feature."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression, LogisticRegression

from mlops.adapters import onnx
from mlops.adapters.files import tree
from mlops.contract import Column, Computed, Contract, Field, Stored
from mlops.release import BENTO, CONTRACT, GOLDEN, MANIFEST, PAYLOAD, Manifest, name_of
from mlops.serving.packages import REQUIREMENTS
from mlops.serving.runtime import LoadedRelease
from mlops.stores.exchange import publish
from mlops.workspace import Workspace, open_workspace

VIEW = "customer_spend_v1"
PYPROJECT = """
[project]
name = "shop"
[tool.mlops.environments.staging]
port = {port}
workers = {workers}
[tool.mlops.environments.production]
port = {port}
"""


def contract(model: str = "fraud_v1", *, computed: bool = True, stored: bool = True, task: str = "binary") -> Contract:
    """`amount`, and if wanted the stored `mean_7d` of a customer and `ratio_v1` computed of both."""
    columns = [Column(name="amount", kind="number")]
    if stored:
        columns.append(Column(name="mean_7d", kind="number"))
    if computed:
        columns.append(Column(name="ratio_v1", kind="number"))
    fields = [Field(name="amount", kind="float", nullable=False, example=12.5)]
    if stored:
        fields.insert(0, Field(name="customer_id", kind="int", nullable=False, example=1))
    inputs = ("amount", "mean_7d") if stored else ("amount", "amount")
    return Contract(
        model=model,
        task=task,
        metric="roc_auc",
        label="is_fraud",
        classes=() if task == "regression" else (0, 1),
        fields=tuple(fields),
        stored=(Stored(name="mean_7d", view=VIEW, column="mean_7d", entity="customer_id", kind="number"),)
        if stored
        else (),
        computed=(Computed(name="ratio_v1", module="features.money", inputs=inputs, kind="number"),)
        if computed
        else (),
        columns=tuple(columns),
    )


def make_release(
    releases: Path,
    agreed: Contract | None = None,
    *,
    factor: float = 1.0,
    broken: bool = False,
    fault: str = "",
    pins: Sequence[str] = (),
) -> str:
    """A whole release below `releases`; gives its name. Another `factor` gives other answers.

    With `pins` it says which packages it was judged with.

    A broken one is whole as well, but answers otherwise than its golden requests say. A `fault` is a line of Python in
    its on-demand feature, which sees the column `amount`.
    """
    agreed = agreed or contract()
    staging = releases / ".staging"
    shutil.rmtree(staging, ignore_errors=True)
    payload = staging / PAYLOAD
    payload.mkdir(parents=True)
    source = staging / BENTO / "src"
    write_features(source, factor, fault)
    if pins:
        listing = staging / REQUIREMENTS
        listing.parent.mkdir(parents=True)
        listing.write_text("".join(f"{pin}\n" for pin in pins))
    (payload / CONTRACT).write_bytes(msgspec.json.encode(agreed))
    (payload / GOLDEN).write_bytes(b"[]")
    (payload / "model.onnx").write_bytes(onnx.convert(_fitted(agreed, factor), agreed))
    (payload / GOLDEN).write_bytes(msgspec.json.encode(golden(payload, source)))
    if broken:
        write_features(source, factor * 3)
    return seal(releases, staging, agreed.model)


def seal(releases: Path, staging: Path, model: str) -> str:
    """Write the manifest of what is in `staging`, and give the folder its name."""
    files = tree(staging)
    manifest = Manifest(
        release="", model=model, form="onnx", task="binary", metric="roc_auc", commit="c", dirty=False, code="c",
        environment="e", snapshot={}, features={}, metrics={}, params={}, evidence={}, files=files,
    )  # fmt: skip
    name = name_of(msgspec.to_builtins(manifest))
    (staging / MANIFEST).write_bytes(msgspec.json.encode(dataclasses.replace(manifest, release=name)))
    shutil.rmtree(releases / name, ignore_errors=True)
    staging.rename(releases / name)
    return name


def write_features(source: Path, factor: float, fault: str = "") -> None:
    """The release's own `features` package: the same names in every release, with different code."""
    (source / "features").mkdir(parents=True, exist_ok=True)
    (source / "features" / "__init__.py").write_text("")
    (source / "features" / "constants.py").write_text(f"FACTOR = {factor}\n")
    (source / "features" / "money.py").write_text(
        "import pandas as pd\n"
        "from mlops import on_demand\n"
        "from features.constants import FACTOR\n\n"
        "@on_demand(inputs=['amount', 'customer_spend_v1.mean_7d'])\n"
        "def ratio_v1(amount: pd.Series, mean_7d: pd.Series) -> pd.Series:\n"
        "    from . import constants\n"
        "    import features.constants as late\n"
        "    assert constants is late and late.FACTOR == FACTOR\n"
        f"    {fault or 'pass'}\n"
        "    return FACTOR * amount / (mean_7d.fillna(0.0) + 1.0)\n"
    )


def golden(payload: Path, source: Path) -> list[dict[str, Any]]:
    """Requests, the stored values they had, and what the release answers."""
    loaded = LoadedRelease(release="", payload=payload, source=source, online=None)
    needs_customer = bool(loaded.contract.stored)
    requests = [
        {**({"customer_id": i % 3} if needs_customer else {}), "amount": amount}
        for i, amount in enumerate([1.0, 25.5, 400.0, 0.0])
    ]
    stored = [{"mean_7d": value} if needs_customer else {} for value in (10.0, None, 3.5, 20.0)]
    answers = loaded.answer(loaded.decoder.convert(requests), stored)
    loaded.close()
    return [
        {"request": r, "stored": s, "answer": {k: v for k, v in a.items() if k != "release"}}
        for r, s, a in zip(requests, stored, answers, strict=True)
    ]


def publish_customers(online: Path) -> None:
    """Stored features of the customers 0 to 2."""
    publish(online, VIEW, "customer_id", [{"customer_id": i, "mean_7d": 10.0 * i} for i in range(3)])


def make_project(root: Path, *, port: int = 3001, workers: int = 1, settings: str = "") -> Workspace:
    """A project without declarations and without releases; `settings` is added to its configuration."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text(PYPROJECT.format(port=port, workers=workers) + settings)
    workspace = open_workspace(root)
    workspace.releases.mkdir(parents=True)
    return workspace


def _fitted(agreed: Contract, factor: float) -> Any:
    random = np.random.default_rng(0)
    X = pd.DataFrame({column.name: random.normal(scale=100.0, size=200) for column in agreed.columns})
    if agreed.task == "regression":
        return LinearRegression().fit(X, X.sum(axis=1))
    return _imputing(LogisticRegression(C=1e-5 * factor)).fit(X, (X.sum(axis=1) > 0).astype(int))


def _imputing(estimator: Any) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(SimpleImputer(), estimator)


def make_bento(releases: Path, release: str, home: Path) -> Path:
    """A bento that BentoML has built out of a release's source, with a copy of mlops; gives its folder."""
    context = home / "context"
    shutil.copytree(releases / release / BENTO / "src", context)
    package = Path(onnx.__file__).parents[1]
    shutil.copytree(package, context / "mlops", ignore=shutil.ignore_patterns("__pycache__"))
    program = "import bentoml; print(bentoml.build('mlops.serving.service:Service', build_ctx='.', include=['*']).path)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "BENTOML_HOME": str(home / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"},
        cwd=context,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Path(done.stdout.strip().splitlines()[-1])
