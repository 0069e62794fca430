"""A small bank with stored features: two versions of a model on two versions of a view of its payments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tests import small

VIEWS = """
from mlops import feature_view


def past(payments, days, statistic):
    ordered = payments.sort_values(["customer", "at", "amount"], kind="stable")
    rolled = ordered.groupby("customer").rolling(f"{days}D", on="at", closed="left")["amount"]
    values = getattr(rolled, statistic)().reset_index(level=0, drop=True)
    found = ordered[["customer", "at"]].assign(spend=values.fillna(0.0).to_numpy())
    return found.drop_duplicates(["customer", "at"], keep="first")


@feature_view(source="payments", entity="customer", timestamp="at", columns=["spend"])
def spend_v1(payments):
    return past(payments, 3, "mean")


@feature_view(source="payments", entity="customer", timestamp="at", columns=["spend"])
def spend_v2(payments):
    return past(payments, 10, "mean")
"""
MODELS = """
from mlops import model
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from features.spend import spend_v1, spend_v2

READS = dict(source="payments", label="fraud", timestamp="at", request=["amount"], task="binary", metric="roc_auc")


def fitted(X, y):
    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(X, y)


@model(features=[spend_v1], **READS)
def fraud_v1(X, y, params):
    return fitted(X, y)


@model(features=[spend_v2], **READS)
def fraud_v2(X, y, params):
    return fitted(X, y)
"""
TESTS = """
import pandas as pd
from features.spend import spend_v1, spend_v2

PAYMENTS = pd.DataFrame({"customer": [1, 1], "at": pd.to_datetime(["2026-01-01", "2026-01-02"]), "amount": [2.0, 4.0]})


def test_spend_is_the_mean_of_what_was_before():
    for view in (spend_v1, spend_v2):
        assert list(view(PAYMENTS)["spend"]) == [0.0, 2.0]
"""
SCHEMA = """
schema_type: dataframe
columns:
  customer: {dtype: int64, nullable: false}
  at: {dtype: "datetime64[us]", nullable: false}
  amount: {dtype: float64, nullable: false}
  fraud: {dtype: int64, nullable: false}
strict: true
"""


def payments(rows: int = 800) -> pd.DataFrame:
    random = np.random.default_rng(5)
    at = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.sort(random.integers(0, 60 * 86400, rows)), unit="s")
    customer = random.integers(1, 21, rows)
    amount = (random.gamma(2, 20, rows) * (1 + customer % 5)).round(2)
    fraud = ((amount / 80 + (customer % 5) / 2 + random.normal(0, 0.5, rows)) > 2.2).astype(int)
    return pd.DataFrame({"customer": customer, "at": at, "amount": amount, "fraud": fraud})


def written(root: Path) -> Path:
    """The project, before its first run."""
    settings = small.SETTINGS.replace('"shop"', '"bank"').replace("customers", "payments").replace("churn", "fraud")
    settings = settings.replace('path = "payments.csv"', 'path = "payments.csv"\ntimestamps = { at = "" }')
    small.write(
        root,
        {
            "pyproject.toml": settings,
            "bentofile.yaml": small.BENTO,
            "features/__init__.py": "",
            "features/spend.py": VIEWS,
            "features/payments.schema.yaml": SCHEMA,
            "models/__init__.py": "",
            "models/fraud.py": MODELS,
            "tests/features/test_spend.py": TESTS,
        },
    )
    payments().to_csv(root / "payments.csv", index=False)
    return root
