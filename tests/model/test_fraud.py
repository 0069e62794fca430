"""What any version of the fraud model owes its customers, whatever its score; check-model runs it on held-out rows."""

from __future__ import annotations

import pandas as pd
import pytest

from mlops import expect

pytestmark = pytest.mark.mlops_model("fraud")


def test_a_hundred_more_makes_hardly_any_payment_look_safer(mlops_predict: expect.Predict, mlops_rows: pd.DataFrame):
    assert expect.increasing(mlops_predict, mlops_rows, "amount", by=100, tolerance=0.05, allowed=0.01)


def test_a_chip_makes_hardly_any_payment_look_otherwise(mlops_predict: expect.Predict, mlops_rows: pd.DataFrame):
    assert expect.invariant(mlops_predict, mlops_rows, change={"channel": "chip"}, tolerance=0.1, allowed=0.01)


def test_most_honest_payments_are_far_from_being_stopped(mlops_predictions: pd.DataFrame, mlops_rows: pd.DataFrame):
    honest = mlops_predictions["probability_1"][(mlops_rows["is_fraud"] == 0).to_numpy()]
    assert honest.quantile(0.95) < 0.1, f"five in a hundred honest payments are above {honest.quantile(0.95):.2f}"
