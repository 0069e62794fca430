"""Is this card payment fraud? Two versions that read two versions of the customer's features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from features.transactions import (
    amount_over_mean_v1,
    amount_over_mean_v2,
    customer_spend_v1,
    customer_spend_v2,
    terminal_risk_v1,
)
from mlops import model


@model(
    source="transactions",
    label="is_fraud",
    timestamp="event_time",
    label_delay="7d",
    metric="average_precision",
    features=[customer_spend_v1, terminal_risk_v1, amount_over_mean_v1],
    request=["amount", "channel"],
    segments=["channel"],
    protected=["age_band"],
)
def fraud_v1(X: pd.DataFrame, y: pd.Series, params: Mapping[str, Any]) -> Pipeline:
    """The chance that a payment is fraud, from the customer's last week and the terminal's record."""
    return _boosted(X, y, params)


@model(
    source="transactions",
    label="is_fraud",
    timestamp="event_time",
    label_delay="7d",
    metric="average_precision",
    features=[customer_spend_v2, terminal_risk_v1, amount_over_mean_v2],
    request=["amount", "channel"],
    segments=["channel"],
    protected=["age_band"],
)
def fraud_v2(X: pd.DataFrame, y: pd.Series, params: Mapping[str, Any]) -> Pipeline:
    """The chance that a payment is fraud, from the customer's last day, week and month and the terminal's record."""
    return _boosted(X, y, params)


def _boosted(X: pd.DataFrame, y: pd.Series, params: Mapping[str, Any]) -> Pipeline:
    encode = ColumnTransformer(
        [("channel", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["channel"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    boost = HistGradientBoostingClassifier(
        max_iter=int(params.get("rounds", 80)),
        learning_rate=float(params.get("learning_rate", 0.06)),
        max_leaf_nodes=int(params.get("leaves", 8)),
        min_samples_leaf=60,
        l2_regularization=5.0,
        random_state=int(params.get("seed", 0)),
    )
    return Pipeline([("encode", encode), ("boost", boost)]).fit(X, y)
