"""The service that BentoML's tutorial leads to."""

from __future__ import annotations

import bentoml
import pandas as pd


@bentoml.service
class Fraud:
    """Answers rows with probabilities."""

    model_ref = bentoml.models.BentoModel("fraud:latest")

    def __init__(self) -> None:
        self.model = bentoml.sklearn.load_model(self.model_ref)

    @bentoml.api
    def predict(self, rows: list[dict]) -> list[float]:
        """The probability of each row."""
        return self.model.predict_proba(pd.DataFrame(rows))[:, 1].tolist()
