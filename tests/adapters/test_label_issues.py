from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from mlops.adapters.label_issues import numbers, probabilities, suspicious


def table(rows: int = 1_500) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(0)
    X = pd.DataFrame({"a": random.normal(size=rows), "word": random.choice(["x", "y", "z"], rows).astype(object)})
    X.loc[::11, "a"] = np.nan
    X.loc[::13, "word"] = np.nan
    return X, np.where(X["word"] == "x", 2, (X["a"] > 0).astype(int))


def test_no_row_is_predicted_by_a_model_that_saw_it():
    """Labels of pure chance cannot be known out of fold, however well a model remembers them."""
    random = np.random.default_rng(1)
    X = pd.DataFrame({"a": random.normal(size=1_000)})
    codes = random.integers(0, 2, 1_000)
    right = probabilities(X, codes, ("no", "yes"), seed=0).argmax(axis=1) == codes
    assert right.mean() == pytest.approx(0.5, abs=0.06)


def test_words_gaps_and_several_classes_are_borne_and_turned_labels_found():
    """Precision and recall of one planted error in twenty."""
    X, codes = table()
    turned = np.random.default_rng(2).random(len(codes)) < 0.05
    given = np.where(turned, (codes + 1) % 3, codes)
    found = suspicious(given, probabilities(X, given, ("a", "b", "c"), seed=0))
    assert turned[found].mean() > 0.8
    assert turned[found].sum() / turned.sum() > 0.9


def test_the_users_own_estimator_is_asked_with_the_labels_that_it_knows():
    X, codes = table()
    own = LogisticRegression(class_weight={"good": 1.0, "bad": 2.0})
    chances = probabilities(X[["a"]].fillna(0), (codes > 0).astype(int), ("good", "bad"), seed=0, estimator=own)
    assert chances.shape == (len(X), 2)
    assert not hasattr(own, "classes_"), "the estimator itself stays as it is"


def test_numbers_are_predicted_out_of_fold():
    X, _ = table()
    y = 3 * X["a"].fillna(0).to_numpy() + (X["word"] == "x").to_numpy()
    assert np.corrcoef(numbers(X, y, seed=0), y)[0, 1] > 0.95
