from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, is_classifier
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, LogisticRegressionCV, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mlops.gates.training import CONVERGED, FINITE, judge_coefficients, judge_convergence
from mlops.verdict import Finding, Outcome, Severity

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 3))
Y = (X[:, 0] + RANDOM.normal(size=200) > 0).astype(int)
WHO = "fraud_v1 (models/fraud.py:12)"


def broken(estimator: Any) -> Finding:
    found = judge_coefficients(estimator, WHO)
    assert found is not None
    assert found.check == FINITE
    assert found.outcome is Outcome.FAIL
    return found


def converged(estimator: Any, warned: tuple[str, ...] = ()) -> Finding:
    return judge_convergence(estimator, warned, WHO, Severity.FAIL)


def test_a_weight_that_is_no_number_is_named_with_the_pipeline_s_step():
    fitted = Pipeline([("scale", StandardScaler()), ("logit", LogisticRegression())]).fit(X, Y)
    fitted["logit"].coef_[0, 1] = np.nan
    found = broken(fitted)
    assert "step 'logit' (LogisticRegression).coef_" in found.message
    assert "1 of 3" in found.message


def test_a_weight_deep_inside_is_named_with_its_way():
    voting = VotingClassifier([("a", LogisticRegression()), ("b", make_pipeline(StandardScaler(), SVC()))])
    fitted = make_pipeline(StandardScaler(), voting).fit(X, Y)
    fitted[-1].estimators_[0].intercept_[0] = np.inf
    assert "step 'votingclassifier' (VotingClassifier) > estimators_[0] (LogisticRegression).intercept_" in (
        broken(fitted).message
    )


def test_a_leaf_that_is_no_number_is_found():
    fitted = HistGradientBoostingClassifier(max_iter=3).fit(X, Y)
    fitted._predictors[1][0].nodes["value"][2] = np.nan
    assert "_predictors[1].nodes['value']" in broken(fitted).message
    forest = RandomForestClassifier(3).fit(X, Y)
    forest.estimators_[2].tree_.value[0, 0, 0] = np.inf
    assert "estimators_[2] (DecisionTreeClassifier).tree_.value" in broken(forest).message


def test_a_loss_that_is_no_number_is_found():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = MLPClassifier((4,), max_iter=5).fit(X, Y)
    fitted.loss_curve_[-1] = float("nan")
    assert "MLPClassifier.loss_curve_" in broken(fitted).message
    fitted.loss_curve_[-1] = 0.1
    fitted.coefs_[1][0] = np.nan
    assert "coefs_[1]" in broken(fitted).message


def test_a_user_s_own_estimator_is_looked_into():
    class Own(BaseEstimator):
        def fit(self, X: object, y: object) -> Own:
            self.weights_ = np.array([1.0, np.nan])
            return self

        def predict(self, X: Any) -> Any:
            return np.zeros(len(X))

    assert "Own.weights_" in broken(Own().fit(X, Y)).message


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(ColumnTransformer([("all", StandardScaler(), [0, 1, 2])]), LogisticRegressionCV(Cs=3, cv=3)),
        BaggingClassifier(n_estimators=2, oob_score=True),
        GridSearchCV(LogisticRegression(), {"C": [1.0, 2.0]}, cv=3),
        StackingClassifier([("a", LogisticRegression()), ("b", RandomForestClassifier(3))], cv=3),
        HistGradientBoostingClassifier(max_iter=3, early_stopping=True),
        GradientBoostingRegressor(n_estimators=3, n_iter_no_change=2),
        MLPClassifier((4,), max_iter=400, early_stopping=True),
        TransformedTargetRegressor(LinearRegression(), func=np.cbrt, inverse_func=np.sinh, check_inverse=False),
        RidgeCV(),
        SVC(kernel="linear"),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_sound_fits_hold_nothing_but_numbers(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = estimator.fit(X, Y if is_classifier(estimator) else Y + X[:, 1])
    assert judge_coefficients(fitted, WHO) is None
    assert converged(fitted).outcome is Outcome.PASS


def test_a_column_without_values_is_no_fault_of_the_model():
    empty = np.column_stack([X, np.full(200, np.nan)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = make_pipeline(SimpleImputer(), LogisticRegression()).fit(empty, Y)
    assert np.isnan(fitted[0].statistics_[3])
    assert judge_coefficients(fitted, WHO) is None


def test_iterations_that_ran_out_are_named_with_the_pipeline_s_step_and_the_model_s_own_words():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = Pipeline([("logit", LogisticRegression(max_iter=1))]).fit(X * [1, 100, 10_000], Y)
    found = converged(fitted, ("lbfgs failed to converge (status=1). Increase it",))
    assert found.check == CONVERGED
    assert "step 'logit' (LogisticRegression) used all its 1 iterations (n_iter_ = 1): lbfgs failed" in found.message


def test_a_warning_alone_is_enough():
    fitted = LogisticRegression().fit(X, Y)
    assert "Objective did not converge" in converged(fitted, ("Objective did not converge.",)).message


def test_a_loss_that_rises_is_no_convergence():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = MLPClassifier((4,), max_iter=5).fit(X, Y)
    fitted.max_iter = 100
    fitted.loss_curve_ = [0.7, 0.9, 1.4]
    found = converged(make_pipeline(StandardScaler().fit(X), fitted))
    assert "lost more at the end than at the start (loss_curve_ from 0.7 to 1.4)" in found.message
