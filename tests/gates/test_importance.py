"""What the answers hang on: shuffled features, and answers that follow a feature."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression

from mlops.gates import importance
from mlops.statistics.influence import Answers

RANDOM = np.random.default_rng(0)
N = 800
TABLE = pd.DataFrame(
    {
        "noise": RANDOM.normal(size=N),
        "amount": RANDOM.gamma(2, 30, N),
        "city": RANDOM.choice(["Bonn", "Kiel", "Ulm"], N).astype(object),
    }
)


def chance(rows: pd.DataFrame) -> np.ndarray:
    return 1 / (1 + np.exp(-((rows["amount"] - 60) / 15 + (rows["city"] == "Ulm")).to_numpy()))


def ask(rows: pd.DataFrame) -> Answers:
    found = chance(rows)
    return Answers((found > 0.5) * 1.0, (found > 0.5) * 1.0, np.column_stack([1 - found, found]))


ACTUAL = (RANDOM.random(N) < chance(TABLE)).astype(float)


def test_features_are_ranked_by_what_the_metric_loses():
    found = importance.permuted("roc_auc", ask, TABLE, ACTUAL, seed=0)
    assert [one.feature for one in found] == ["amount", "city", "noise"]
    assert found[0].low > 0.2
    assert found[2].value == found[2].low == found[2].high == 0
    assert all(one.low <= one.value <= one.high for one in found)


def test_importances_are_those_of_scikit_learn():
    numbers = TABLE[["noise", "amount"]]
    y = numbers["amount"] * 2 + numbers["noise"] + RANDOM.normal(size=N)
    model = LinearRegression().fit(numbers, y)
    theirs = permutation_importance(model, numbers, y, scoring="r2", n_repeats=20, random_state=0).importances_mean
    said = lambda rows: Answers(model.predict(rows), model.predict(rows))  # noqa: E731
    ours = {one.feature: one.value for one in importance.permuted("r2", said, numbers, y.to_numpy(), seed=0)}
    assert [ours["noise"], ours["amount"]] == pytest.approx(theirs, rel=0.1, abs=1e-3)


def test_a_metric_that_the_rows_do_not_define_shows_nothing():
    assert importance.permuted("roc_auc", ask, TABLE, np.zeros(N), seed=0) == []
    assert importance.show("roc_auc", [], N) == ()


def test_the_same_seed_shows_the_same():
    first, second = (importance.permuted("roc_auc", ask, TABLE, ACTUAL, seed=7) for _ in range(2))
    assert first == second


def test_a_slow_model_is_asked_fewer_rows(monkeypatch):
    asked = []

    def slow(rows: pd.DataFrame) -> Answers:
        asked.append(len(rows))
        return ask(rows)

    monkeypatch.setattr(importance, "SECONDS", 1e-6)
    importance.permuted("roc_auc", slow, TABLE, ACTUAL, seed=0)
    assert asked[0] == N
    assert asked[1:] == [100, 100 * importance.REPEATS * TABLE.shape[1]], "one call for all"


def test_the_bars_name_what_the_model_does_not_read():
    [plot] = importance.show("roc_auc", importance.permuted("roc_auc", ask, TABLE, ACTUAL, seed=0), N)
    assert plot.kind == "bars"
    assert plot.series[0].x[0] == "amount"
    assert "does not read noise" in plot.caption


def test_the_mean_answer_follows_a_number_and_a_word():
    amount, city = importance.dependence(ask, TABLE, ["amount", "city"], (0, 1), seed=0)
    [line] = amount.series
    assert list(line.y) == sorted(line.y)
    assert all(low <= y <= high for low, y, high in zip(line.low, line.y, line.high, strict=True))
    rows = TABLE.iloc[np.sort(np.random.default_rng(0).permutation(N)[:150])]
    assert line.y[0] == pytest.approx(chance(rows.assign(amount=line.x[0])).mean())
    [bars] = city.series
    assert city.kind == "bars"
    assert max(zip(bars.y, bars.x, strict=True))[1] == "Ulm"


def test_a_model_of_several_classes_has_a_line_for_each():
    def three(rows: pd.DataFrame) -> Answers:
        found = chance(rows)
        return Answers(found * 0, found * 0, np.column_stack([found / 2, found / 2, 1 - found]))

    [plot] = importance.dependence(three, TABLE, ["amount"], ("a", "b", "c"), seed=0)
    assert [series.name for series in plot.series] == ["a", "b", "c"]


def test_a_classifier_without_probabilities_and_a_constant_have_no_line():
    words = lambda rows: Answers(np.zeros(len(rows)), np.zeros(len(rows)))  # noqa: E731
    assert importance.dependence(words, TABLE, ["amount"], (0, 1), seed=0) == ()
    assert importance.dependence(ask, TABLE.assign(amount=1.0), ["amount"], (0, 1), seed=0) == ()
