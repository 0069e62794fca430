"""Metrics out of precomputed predictions are scikit-learn's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as theirs

from mlops.declare import METRICS
from mlops.statistics.metrics import codes, score

RANDOM = np.random.default_rng(0)
Y2 = RANDOM.integers(0, 2, 200)
P2 = np.clip(RANDOM.random(200) * 0.6 + Y2 * 0.3, 0.01, 0.99)
P2 = np.stack([1 - P2, P2], axis=1)
Y3 = RANDOM.integers(0, 3, 200)
P3 = RANDOM.dirichlet(np.ones(3), 200)
NAMES = np.array(["high", "low", "mid"], dtype=object)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("roc_auc", theirs.roc_auc_score(Y2, P2[:, 1])),
        ("average_precision", theirs.average_precision_score(Y2, P2[:, 1])),
        ("f1", theirs.f1_score(Y2, P2[:, 1] > 0.5)),
        ("accuracy", theirs.accuracy_score(Y2, P2[:, 1] > 0.5)),
        ("balanced_accuracy", theirs.balanced_accuracy_score(Y2, P2[:, 1] > 0.5)),
        ("f1_macro", theirs.f1_score(Y2, P2[:, 1] > 0.5, average="macro")),
        ("neg_log_loss", -theirs.log_loss(Y2, P2)),
    ],
)
@pytest.mark.parametrize("classes", [(0, 1), ("no", "yes"), (False, True)])
def test_binary(metric: str, expected: float, classes: tuple) -> None:
    named = np.array(classes, dtype=object)
    predicted = named[(P2[:, 1] > 0.5).astype(int)]
    assert score(metric, named[Y2], predicted, P2, classes) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("roc_auc", theirs.roc_auc_score(Y3, P3, multi_class="ovr")),
        ("accuracy", theirs.accuracy_score(Y3, P3.argmax(1))),
        ("balanced_accuracy", theirs.balanced_accuracy_score(Y3, P3.argmax(1))),
        ("f1_macro", theirs.f1_score(Y3, P3.argmax(1), average="macro")),
        ("neg_log_loss", -theirs.log_loss(Y3, P3)),
    ],
)
def test_multiclass(metric: str, expected: float) -> None:
    assert score(metric, NAMES[Y3], NAMES[P3.argmax(1)], P3, tuple(NAMES)) == pytest.approx(expected)


def test_regression() -> None:
    y, p = RANDOM.normal(size=50), RANDOM.normal(size=50)
    assert score("r2", y, p, None, ()) == pytest.approx(theirs.r2_score(y, p))
    assert score("neg_mean_absolute_error", y, p, None, ()) == pytest.approx(-theirs.mean_absolute_error(y, p))
    assert score("neg_root_mean_squared_error", y, p, None, ()) == pytest.approx(-theirs.root_mean_squared_error(y, p))


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_that_can_be_declared_can_be_computed(metric: str) -> None:
    if METRICS[metric] == ("regression",):
        assert math.isfinite(score(metric, [1.0, 2.0], [1.0, 3.0], None, ()))
    else:
        assert math.isfinite(score(metric, Y2, (P2[:, 1] > 0.5).astype(int), P2, (0, 1)))


def test_rows_of_one_class_do_not_decide_a_ranking() -> None:
    assert math.isnan(score("roc_auc", [0, 0], [0, 0], P2[:2], (0, 1)))
    assert math.isnan(score("average_precision", [0, 0], [0, 0], P2[:2], (0, 1)))


def test_what_cannot_be_computed_is_an_error_that_says_why() -> None:
    with pytest.raises(ValueError, match="needs probabilities"):
        score("roc_auc", Y2, Y2, None, (0, 1))
    with pytest.raises(ValueError, match="the label 'x' is not one of a, b"):
        codes(["a", "x"], ("a", "b"))
    with pytest.raises(ValueError, match="unknown metric"):
        score("rocauc", Y2, Y2, P2, (0, 1))
