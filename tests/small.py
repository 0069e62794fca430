"""Small projects that go all the way to a release in seconds, and what runs them."""

from __future__ import annotations

import linecache
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mlops.pipeline import Wish
from mlops.running import run
from mlops.verdict import Record, Report
from mlops.workspace import Workspace, open_workspace

SETTINGS = """
[project]
name = "shop"

[tool.mlops]
deepchecks = false

[tool.mlops.load]
seconds = 0.5
connections = 2
p99_ms = 5000
qps = 1
slower = 20  # the machine has more to do than this

[tool.mlops.sources.customers]
path = "customers.csv"

[tool.mlops.models.churn]
floor = 0.6
margin = 0.2
"""
BENTO = 'service: "mlops.serving.service:Service"\n'
MODELS = """
from mlops import model
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def fitted(X, y, strength):
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    table = ColumnTransformer([("words", words, ["city"])], remainder=StandardScaler())
    return make_pipeline(table, LogisticRegression(C=strength)).fit(X, y)


@model(source="customers", label="left", task="binary", metric="roc_auc")
def churn_v1(X, y, params):
    return fitted(X, y, 1.0)
"""
SECOND = """

@model(source="customers", label="left", task="binary", metric="roc_auc")
def churn_v2(X, y, params):
    return fitted(X, y, 0.5)
"""
SCHEMA = """
schema_type: dataframe
columns:
  amount: {dtype: float64, nullable: false}
  visits: {dtype: int64, nullable: false}
  city: {dtype: str, nullable: false}
  left: {dtype: int64, nullable: false, checks: {isin: [0, 1]}}
strict: true
"""


def customers(rows: int = 600, *, seed: int = 3) -> pd.DataFrame:
    """A plain table: two numbers, a word, and whether the customer left."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "amount": random.gamma(2, 30, rows).round(2),
            "visits": random.integers(0, 9, rows),
            "city": random.choice(["Bonn", "Kiel", "Ulm"], rows),
        }
    )
    frame["left"] = ((frame.amount / 60 + random.normal(0, 0.4, rows) + (frame.city == "Ulm")) > 1.3).astype(int)
    return frame


def write(root: Path, files: dict[str, str]) -> Path:
    """Write texts below `root`."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
    return root


def churn(root: Path, *, models: str = MODELS) -> Path:
    """A project around `customers`, with one model unless told otherwise."""
    write(
        root,
        {
            "pyproject.toml": SETTINGS,
            "bentofile.yaml": BENTO,
            "features/__init__.py": "",
            "features/customers.schema.yaml": SCHEMA,
            "models/__init__.py": "",
            "models/churn.py": models,
        },
    )
    customers().to_csv(root / "customers.csv", index=False)
    return root


class Watch:
    """Remembers which tasks were computed, and every record."""

    def __init__(self) -> None:
        self.computed: list[str] = []
        self.records: list[Record] = []

    def started(self, name: str) -> None:
        self.computed.append(name)

    def progress(self, name: str, text: str) -> None: ...

    def finished(self, record: Record) -> None:
        self.records.append(record)


@dataclass(frozen=True)
class Ran:
    """A run that is over."""

    report: Report
    errors: tuple[Exception, ...]
    started: list[str]

    @property
    def computed(self) -> list[str]:
        """The tasks that did something: a deployment of what is live already did not."""
        idle = {r.name for r in self.report.records if r.step == "deploy" and not r.facts["changed"]}
        return [name for name in self.started if name not in idle]

    def record(self, name: str) -> Record:
        return next(record for record in self.report.records if record.name == name)

    @property
    def steps(self) -> set[str]:
        return {name.partition(":")[0] for name in self.computed}

    def __str__(self) -> str:
        fired = [f"{v.gate} {v.subject}: {f.message}" for v in self.report.verdicts for f in v.fired]
        return "\n".join([f"{self.report.outcome}", *fired, *map(str, self.errors)])


def opened(root: Path) -> Workspace:
    """The project as a new process would see it: code that was edited is read again."""
    for name in [n for n in sys.modules if n.partition(".")[0] in ("features", "models")]:
        del sys.modules[name]
    linecache.clearcache()
    return open_workspace(root)


def go(
    root: Path,
    *models: str,
    until: str = "deploy",
    environment: str | None = "staging",
    anew: frozenset[str] = frozenset(),
) -> Ran:
    """`mlops run` inside this process."""
    workspace = opened(root)
    catalog = workspace.catalog
    chosen = tuple(catalog.model(name) for name in models) or tuple(catalog.models.values())
    watch = Watch()
    wish = Wish(command="run", models=chosen, until=until, environment=environment, anew=anew)
    report, errors = run(workspace, wish, watch)
    return Ran(report, errors, watch.computed)


def variables(**more: str) -> dict[str, str]:
    """Our environment without what would lead a run to another ledger."""
    own = ("MLFLOW_", "MLOPS_", "BENTOML_", "GIT_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**kept, "GIT_CEILING_DIRECTORIES": "/", "PYTHONFAULTHANDLER": "1", **more}


def mlops(root: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`mlops ARGUMENTS` in a process of its own, in the folder `root`."""
    command = [sys.executable, "-m", "mlops", *arguments]
    return subprocess.run(
        command, cwd=root, env=variables(**more), capture_output=True, text=True, timeout=300, check=False
    )


def edit(file: Path, old: str, new: str) -> None:
    """Replace one text in a file."""
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
    file.write_text(text.replace(old, new), encoding="utf-8")
