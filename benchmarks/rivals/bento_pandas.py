"""BentoML's typed endpoint in stock settings, with pandas and the scikit-learn model."""

from __future__ import annotations

import os

import bentoml
import joblib
import pandas as pd


@bentoml.service(workers=1)
class WithPandas:
    """Answers one row."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["RIVAL_MODEL"])

    @bentoml.api
    def predict(self, rows: list[dict]) -> list[dict[str, float]]:
        """The label and its probability."""
        frame = pd.DataFrame(rows)
        chances = self.model.predict_proba(frame)[:, 1]
        labels = self.model.predict(frame)
        return [{"prediction": int(one), "probability": float(p)} for one, p in zip(labels, chances, strict=True)]
