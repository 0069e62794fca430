from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops.config import ModelSettings
from mlops.contract import Column, Contract, Field
from mlops.declare import Model, model
from mlops.refitting import NotRefitted, Refittable, Rows, empty, refitted, rows_of

CONTRACT = Contract(
    model="risk_v1",
    task="binary",
    metric="accuracy",
    label="y",
    classes=(0, 1),
    fields=(Field(name="a", kind="float", nullable=False, example=0.5),),
    stored=(),
    computed=(),
    columns=(Column(name="a", kind="number"),),
)


@model(source="table", label="y")
def risk_v1(X, y, params):
    return LogisticRegression().fit(X, y)


def rows(n: int = 300) -> Rows:
    """Labels that have nothing to do with the input."""
    random = np.random.default_rng(0)
    table = pd.DataFrame({"a": random.normal(size=n), "y": random.integers(0, 2, n)})
    assert isinstance(risk_v1, Model)
    return rows_of(table, CONTRACT, risk_v1, ModelSettings(folds=5, repeats=2), 1)


def test_a_model_that_knows_its_rows_by_heart_knows_nothing_of_the_rows_that_it_is_tested_on():
    """The estimator was fitted on every row; what is tested was not."""
    asked = rows()
    inputs = asked.table[["a"]]
    by_heart = KNeighborsClassifier(1).fit(inputs, asked.labels)
    assert (by_heart.predict(inputs) == asked.labels).all()
    found = refitted(Refittable(by_heart, inputs, CONTRACT), asked)
    right = np.concatenate([one.actual == one.predicted for one in found])
    assert 0.4 < right.mean() < 0.6
    assert right.size == 600


def test_folds_follow_a_split_by_entity_also_where_there_is_a_time():
    """Rows of a customer whom a clone was fitted on say nothing of a new one."""
    random = np.random.default_rng(0)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(300), unit="h")
    who = random.integers(0, 40, 300)
    table = pd.DataFrame({"a": random.normal(size=300), "y": random.integers(0, 2, 300), "who": who, "at": times})
    contract = replace(CONTRACT, timestamp="at")
    plan = rows_of(table, contract, risk_v1, ModelSettings(folds=5, repeats=2, split="entity:who"), 1).plan
    assert len(plan.folds) == 10
    for fold in plan.folds:
        assert not set(who[fold.train]) & set(who[fold.test])


def test_the_given_estimator_stays_as_it_is():
    asked = rows()
    fitted = LogisticRegression().fit(asked.table[["a"]], asked.labels)
    before = fitted.coef_.copy()
    refitted(Refittable(fitted, asked.table[["a"]], CONTRACT), asked)
    assert (fitted.coef_ == before).all()


def test_a_part_that_stays_fitted_is_refused():
    """Otherwise a model would be tested on rows that it was fitted on."""
    frozen = pytest.importorskip("sklearn.frozen", reason="scikit-learn has no FrozenEstimator before 1.6")
    inner = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    for outer in (make_pipeline(StandardScaler(), frozen.FrozenEstimator(inner)), frozen.FrozenEstimator(inner)):
        with pytest.raises(NotRefitted, match="stays fitted"):
            empty(outer)


def test_pipelines_and_ensembles_are_cloned_empty():
    voting = VotingClassifier([("a", LogisticRegression()), ("b", KNeighborsClassifier())])
    fitted = make_pipeline(StandardScaler(), voting).fit([[0.0], [1.0], [2.0]] * 3, [0, 1, 1] * 3)
    assert not hasattr(empty(fitted)[-1], "estimators_")


def test_what_is_no_estimator_is_refused():
    class Odd:
        def predict(self, X: object) -> None: ...

    with pytest.raises(NotRefitted, match="cannot be cloned"):
        empty(Odd())


def test_a_fit_that_fails_is_told():
    asked = rows()
    stiff = KNeighborsClassifier(250).fit(asked.table[["a"]], asked.labels)
    with pytest.raises(NotRefitted, match="KNeighborsClassifier raised ValueError on 240 rows"):
        refitted(Refittable(stiff, asked.table[["a"]], CONTRACT), asked)
