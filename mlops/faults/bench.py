"""What faults are planted into: the user's data and model, and the user's settings, loaded once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlops.adapters import models
from mlops.adapters.deepchecks import Deepchecks
from mlops.config import Config, ModelSettings
from mlops.contract import Contract, model_inputs
from mlops.declare import Model
from mlops.gates.model import coded
from mlops.serving.predictors import Prediction, answers
from mlops.statistics.influence import Answers
from mlops.verdict import Record
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a model was made of; faults are planted into copies of it."""

    model: Model
    snapshots: Mapping[str, Record]  # by source
    assembled: Record
    trained: Record
    settings: ModelSettings
    packaged: Record | None = None  # without it no service is put on trial


@dataclass(frozen=True)
class Bench:
    """The material, loaded when it is first asked for. Nobody changes what it gives: faults go into copies."""

    workspace: Workspace
    material: Material
    deepchecks: Deepchecks | None

    @property
    def config(self) -> Config:
        """The user's configuration."""
        return self.workspace.config

    @property
    def model(self) -> Model:
        """The model's declaration."""
        return self.material.model

    @property
    def settings(self) -> ModelSettings:
        """The user's settings of this model."""
        return self.material.settings

    @property
    def source(self) -> str:
        """The name of the source that the model learns from."""
        return self.model.source

    @property
    def seed(self) -> int:
        """The project's seed."""
        return self.config.seed

    @cached_property
    def contract(self) -> Contract:
        """What the model reads and answers."""
        found = self.workspace.objects.get(self.material.assembled.outputs["contract"])
        return msgspec.json.decode(found, type=Contract)

    @cached_property
    def snapshot(self) -> pd.DataFrame:
        """The source's table."""
        return self.table(self.source)

    def table(self, source: str) -> pd.DataFrame:
        """The table of any source that the model's features read."""
        return self.workspace.frame(self.material.snapshots[source].outputs["data"])

    @cached_property
    def train(self) -> pd.DataFrame:
        """The training side of the model's table."""
        return self.workspace.frame(self.material.assembled.outputs["train"])

    @cached_property
    def holdout(self) -> pd.DataFrame:
        """The held-out side of the model's table."""
        return self.workspace.frame(self.material.assembled.outputs["holdout"])

    @cached_property
    def estimator(self) -> Any:
        """The fitted estimator."""
        return models.load(self.model_file, digest=self.digest, trusted=self.config.package.trusted)

    @property
    def digest(self) -> str:
        """The sha256 of the model's file."""
        return self.material.trained.outputs["model"]

    @property
    def model_file(self) -> Path:
        """The model's file, which nobody changes."""
        return self.workspace.objects.path(self.digest)

    @cached_property
    def inputs(self) -> pd.DataFrame:
        """The held-out rows as the model reads them."""
        return model_inputs(self.holdout, self.contract)

    @cached_property
    def prediction(self) -> Prediction:
        """What the model says of the held-out rows."""
        return answers(self.estimator, self.inputs, self.contract)

    @cached_property
    def answers(self) -> Answers:
        """The model's answers to the held-out rows, beside their labels."""
        contract, said = self.contract, self.prediction
        labels = self.holdout[contract.label]
        return coded(labels, said.values, said.probabilities, contract.classes, contract.classes)

    @cached_property
    def known(self) -> NDArray[np.float64]:
        """The training labels, as codes or amounts."""
        labels = self.train[self.contract.label]
        return coded(labels, labels, None, self.contract.classes, ()).actual
