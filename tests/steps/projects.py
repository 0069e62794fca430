"""A project of one model, written for a test and brought as far as its training set."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from mlops.config import Config, ModelSettings, Packaging, Source
from mlops.contract import Contract
from mlops.declare import Model
from mlops.ingredients import served, travelling
from mlops.steps.assemble import assemble
from mlops.steps.build_features import build_features
from mlops.steps.package import package
from mlops.steps.train import train
from mlops.verdict import Record
from mlops.workspace import Workspace

BOOSTED = """
    encode = ColumnTransformer(
        [("words", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
          make_column_selector(dtype_include=object))],
        remainder="passthrough",
    )
    return make_pipeline(encode, HistGradientBoostingClassifier(max_iter=10, random_state=params["seed"])).fit(X, y)
"""
IMPORTS = """
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import *
from sklearn.impute import SimpleImputer
from sklearn.linear_model import *
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import *
from mlops import model
"""


class ModelProject:
    """A project whose one model is `risk_v1`, or what the test calls it."""

    def __init__(self, root: Path, **settings: object) -> None:
        self.root = root
        for folder in ("features", "models"):
            (root / folder).mkdir(parents=True)
            (root / folder / "__init__.py").touch()
        self.write("bentofile.yaml", 'service: "mlops.serving.service:Service"\n')
        self.workspace = Workspace(root, Config(name="p", sources={"table": Source(path="table.csv")}, **settings))

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(textwrap.dedent(text), encoding="utf-8")

    def declare(self, body: str, declaration: str = "label='y'", *, before: str = "") -> Model:
        """Write the model's module: the body of its function, the decorator's arguments, and what stands before."""
        code = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
        head = f"{IMPORTS}\n{before}\n@model(source='table', {declaration})\ndef risk_v1(X, y, params):\n"
        (self.root / "models" / "risk.py").write_text(f"{head}{code}\n", encoding="utf-8")
        return self.workspace.catalog.models["risk_v1"]

    def assemble(self, model: Model, frame: pd.DataFrame, settings: ModelSettings | None = None) -> Record:
        snapshot = Record(step="snapshot", subject="table", outputs={"data": self.workspace.put_frame(frame)})
        views, _ = self.workspace.catalog.pinned(model)
        features = {view.name: build_features(self.workspace, view=view, snapshot=snapshot) for view in views}
        settings = settings or ModelSettings(min_rows=4)
        record = assemble(self.workspace, model=model, snapshot=snapshot, features=features, settings=settings)
        assert record.verdict is not None
        assert record.verdict.accepted, record.verdict.fired
        return record

    def train(self, model: Model, assembled: Record, **settings: object) -> Record:
        return train(self.workspace, model=model, assembled=assembled, settings=ModelSettings(**settings), seed=7)

    def package(self, model: Model, trained: Record, assembled: Record, **settings: object) -> Record:
        return package(
            self.workspace,
            model=model,
            trained=trained,
            assembled=assembled,
            settings=Packaging(**settings),
            sources=travelling(self.workspace, model),
            needs=served(self.workspace, model),
        )

    def contract(self, assembled: Record) -> Contract:
        return msgspec.json.decode(self.workspace.objects.get(assembled.outputs["contract"]), type=Contract)

    def unpack(self, packaged: Record) -> Path:
        target = self.root.parent / "unpacked"
        shutil.rmtree(target, ignore_errors=True)
        self.workspace.objects.get_tree(packaged.outputs["bento"], target)
        return target


def mixed(rows: int = 400) -> pd.DataFrame:
    """Numbers and words with missing values, and a binary label that depends on both."""
    random = np.random.default_rng(0)
    amount = random.gamma(2, 30, rows).round(2)
    city = random.choice(["Bonn", "Köln", "Ulm"], rows).astype(object)
    y = ((amount > 60) ^ (city == "Ulm")).astype(int)
    frame = pd.DataFrame({"amount": amount, "count": random.integers(0, 9, rows), "city": city, "y": y})
    frame.loc[::17, "amount"] = np.nan
    frame.loc[::13, "city"] = None
    return frame
