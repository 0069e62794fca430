from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from mlops.declare import METRICS
from mlops.statistics.influence import Answers, measure
from mlops.statistics.paired import interval

RANDOM = np.random.default_rng(0)
N = 2000


def binary() -> Answers:
    actual = (RANDOM.random(N) < 0.2).astype(float)
    score = np.round(1 / (1 + np.exp(-(actual * 1.5 + RANDOM.normal(size=N) - 1))), 2)  # rounded: with ties
    return Answers(actual, (score > 0.5).astype(float), np.column_stack([1 - score, score]))


def multiclass() -> Answers:
    actual = RANDOM.integers(0, 4, N).astype(float)
    chances = RANDOM.random((N, 4))
    chances[np.arange(N), actual.astype(int)] += 0.5
    chances /= chances.sum(axis=1, keepdims=True)
    return Answers(actual, chances.argmax(axis=1).astype(float), chances)


def regression() -> Answers:
    actual = RANDOM.normal(size=N)
    return Answers(actual, actual + RANDOM.normal(size=N) * 0.5)


KINDS = {"binary": binary(), "multiclass": multiclass(), "regression": regression()}
CASES = [(name, task) for name, tasks in METRICS.items() for task in tasks]


def sklearns(name: str, task: str, answers: Answers) -> float:
    y, p, q = answers.actual, answers.predicted, answers.probabilities
    if name == "roc_auc":
        return float(metrics.roc_auc_score(y, q[:, 1] if task == "binary" else q, multi_class="ovr"))
    if name == "average_precision":
        return float(metrics.average_precision_score(y, q[:, 1]))
    if name == "neg_log_loss":
        return -float(metrics.log_loss(y, q))
    if name == "f1_macro":
        return float(metrics.f1_score(y, p, average="macro"))
    if name.startswith("neg_"):
        return -float(getattr(metrics, name.removeprefix("neg_"))(y, p))
    return float(getattr(metrics, f"{name}_score")(y, p))


@pytest.mark.parametrize(("name", "task"), CASES)
def test_every_metric_is_scikit_learns(name, task):
    assert measure(name, KINDS[task]).value == pytest.approx(sklearns(name, task, KINDS[task]), abs=1e-9)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_interval_is_as_wide_as_the_bootstraps(name, task):
    answers = KINDS[task]
    found = measure(name, answers)
    width = interval(found)[1] - found.value
    again = []
    for _ in range(200):
        rows = RANDOM.integers(0, N, N)
        chances = None if answers.probabilities is None else answers.probabilities[rows]
        again.append(measure(name, Answers(answers.actual[rows], answers.predicted[rows], chances)).value)
    assert width / 1.96 == pytest.approx(float(np.std(again)), rel=0.2)
    assert found.influence.mean() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_one_class_alone_defines_no_ranking_metric(name):
    nobody = Answers(np.zeros(5), np.zeros(5), np.tile([0.9, 0.1], (5, 1)))
    assert np.isnan(measure(name, nobody).value)


def test_a_constant_target_defines_no_r2():
    assert np.isnan(measure("r2", Answers(np.ones(5), np.ones(5))).value)


def test_a_metric_of_probabilities_says_that_the_model_gives_none():
    with pytest.raises(ValueError, match="predict_proba"):
        measure("roc_auc", Answers(np.array([0.0, 1.0]), np.array([0.0, 1.0])))
