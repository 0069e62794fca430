from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import auc, confusion_matrix, precision_score, recall_score

from mlops.exhibits import Plot, Table, decode, encode
from mlops.gates import curves
from mlops.statistics.influence import Answers, measure
from tests.statistics.simulated import areas, of_chances

OURS, THEIRS = areas(np.random.default_rng(1), 2_000, 0.02)
BOTH = {curves.CHALLENGER: OURS, "fraud_v1-abc": THEIRS}


def by_title(shown: list) -> dict[str, Plot | Table]:
    return {one.title: one for one in shown}


def test_a_binary_model_is_shown_beside_the_champion():
    shown = by_title(curves.of_answers("binary", ("no", "yes"), BOTH))
    names = {"Metrics", "ROC", "Precision and recall", "Reliability", "Distribution of the probabilities"}
    assert shown.keys() == names | {"Confusion matrix"}
    for title in ("ROC", "Precision and recall", "Reliability"):
        assert [series.name for series in shown[title].series] == [curves.CHALLENGER, "fraud_v1-abc"]
    assert shown["Reliability"].diagonal
    assert decode(encode(shown.values())) == tuple(shown.values())


def test_the_roc_curve_encloses_the_area_that_is_measured():
    line = curves.roc({curves.CHALLENGER: OURS}).series[0]
    assert auc(line.x, line.y) == pytest.approx(measure("roc_auc", OURS).value, abs=0.003)
    assert (line.x[0], line.x[-1], line.y[-1]) == (0, 1, 1)


def test_precision_and_recall_are_scikit_learn_s():
    line = curves.precision_recall({curves.CHALLENGER: OURS}).series[0]
    chances = OURS.probabilities[:, 1]
    middle = len(line.x) // 2
    threshold = np.sort(chances[OURS.actual == 1])[::-1][round(line.x[middle] * (OURS.actual == 1).sum()) - 1]
    said = chances >= threshold
    assert line.x[middle] == pytest.approx(recall_score(OURS.actual, said), abs=1e-3)
    assert line.y[middle] == pytest.approx(precision_score(OURS.actual, said), abs=1e-3)


def test_the_table_holds_every_metric_of_both_and_their_difference():
    table = curves.metrics_table("binary", BOTH)
    rows = {row[0]: row for row in table.rows}
    assert set(rows) == {
        "roc_auc", "average_precision", "f1", "accuracy", "balanced_accuracy", "f1_macro", "neg_log_loss",
    }  # fmt: skip
    assert all(len(row) == len(table.columns) == 10 for row in table.rows)
    found = rows["roc_auc"]
    assert found[1] == pytest.approx(measure("roc_auc", OURS).value, abs=1e-6)
    assert found[7] == pytest.approx(found[1] - found[4], abs=1e-5)
    assert found[8] < found[7] < found[9]
    assert all(row[3] <= 1 and row[6] <= 1 for row in table.rows), "no interval goes beyond perfect"
    assert len(curves.metrics_table("binary", {curves.CHALLENGER: OURS}).columns) == 4


def test_a_champion_without_probabilities_leaves_gaps():
    labels = Answers(THEIRS.actual, THEIRS.predicted)
    shown = by_title(curves.of_answers("binary", (0, 1), {curves.CHALLENGER: OURS, "old": labels}))
    rows = {row[0]: row for row in shown["Metrics"].rows}
    assert rows["roc_auc"][4:] == (None,) * 6
    assert rows["f1"][4] is not None
    assert len(shown["ROC"].series) == 1


def test_the_confusion_matrix_is_scikit_learn_s():
    table = curves.confusion(OURS, ("no", "yes"))
    counts = confusion_matrix(OURS.actual, OURS.predicted)
    assert [row[1:3] for row in table.rows] == [tuple(row) for row in counts]
    assert table.rows[1][3] == pytest.approx(counts[1, 1] / counts[1].sum())


def test_many_classes_are_put_together_in_one_line():
    random = np.random.default_rng(2)
    actual = random.integers(0, 40, 3_000).astype(float)
    table = curves.confusion(Answers(actual, actual), [f"class {k}" for k in range(40)])
    assert len(table.rows) == 13
    assert table.rows[-1][0] == "others"
    assert sum(sum(row[1:-1]) for row in table.rows) == 3_000
    assert all(row[-1] == 1 for row in table.rows)


def test_three_classes_are_shown_without_the_curves_of_two():
    random = np.random.default_rng(3)
    chances = random.dirichlet([1, 1, 1], 300)
    said = Answers(random.integers(0, 3, 300).astype(float), chances.argmax(axis=1).astype(float), chances)
    shown = by_title(curves.of_answers("multiclass", ("a", "b", "c"), {curves.CHALLENGER: said}))
    assert "ROC" not in shown
    assert {"Reliability", "Confusion matrix", "Metrics"} <= shown.keys()


def test_a_regression_shows_its_errors():
    random = np.random.default_rng(4)
    actual = random.gamma(2, 10, 5_000)
    said = Answers(actual, actual + random.normal(size=5_000))
    shown = by_title(curves.of_answers("regression", (), {curves.CHALLENGER: said}))
    assert shown.keys() == {"Metrics", "Predicted and actual", "Residuals"}
    cloud = shown["Predicted and actual"].series[0]
    assert len(cloud.x) == 1_000
    assert "1,000 of 5,000 rows" in shown["Predicted and actual"].caption
    residual = shown["Residuals"].series[0]
    assert residual.y[0] == pytest.approx(cloud.x[0] - cloud.y[0], abs=1e-2)


def test_one_class_in_the_held_out_rows_draws_no_roc():
    said = of_chances(np.zeros(50), np.linspace(0, 1, 50))
    assert "ROC" not in by_title(curves.of_answers("binary", (0, 1), {curves.CHALLENGER: said}))


def test_a_nearly_perfect_model_is_not_said_to_be_better_than_perfect():
    actual = np.arange(120) % 2
    chances = np.where(actual == 1, 0.9, 0.1)
    chances[:2] = 0.5, 0.4
    table = curves.metrics_table("binary", {curves.CHALLENGER: of_chances(actual, chances)})
    tops = {row[0]: row[3] for row in table.rows}
    assert tops["roc_auc"] == 1
    assert tops["neg_log_loss"] <= 0
