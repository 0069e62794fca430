from __future__ import annotations

import numpy as np
from scipy.stats import norm

from mlops.statistics.influence import Answers, Measured, measure
from mlops.statistics.paired import by_influence, interval

MARGIN = 0.01


def accuracies(random: np.random.Generator, n: int, champion: float, challenger: float) -> tuple[Measured, Measured]:
    """Right or wrong on the same n rows, half of which both models get by the same luck."""
    luck, own = random.random(n), random.random((2, n))
    shared = random.random(n) < 0.5
    hits = [(np.where(shared, luck, own[k]) < share).astype(float) for k, share in enumerate((champion, challenger))]
    return tuple(Measured(float(h.mean()), h - h.mean()) for h in hits)


def areas(random: np.random.Generator, n: int, champion: float, challenger: float) -> tuple[Measured, Measured]:
    """Scores of two models on the same n rows with the given ROC areas, correlated at 0.8."""
    actual = (random.random(n) < 0.3).astype(float)
    shared = random.normal(size=n) * np.sqrt(0.8)
    found = []
    for area in (champion, challenger):
        score = actual * np.sqrt(2) * norm.ppf(area) + shared + random.normal(size=n) * np.sqrt(0.2)
        found.append(measure("roc_auc", Answers(actual, actual, np.column_stack([-score, score]))))
    return found[0], found[1]


def passed(draw, times: int, challenger: float, n: int = 10_000) -> tuple[float, float]:
    """How often a challenger is found not worse, and how often the rows cannot decide."""
    random = np.random.default_rng(1)
    said = []
    for _ in range(times):
        champion, ours = draw(random, n, 0.9, challenger)
        said.append(by_influence(ours, champion, MARGIN).decision)
    return said.count("not worse") / times, said.count("insufficient") / times


def test_a_model_worse_by_the_margin_is_let_through_in_six_of_a_hundred_at_most():
    """PROMISES 3: n=10,000, 2,000 comparisons by accuracy, 400 by ROC area."""
    assert passed(accuracies, 2_000, 0.9 - MARGIN)[0] <= 0.06
    assert passed(areas, 400, 0.9 - MARGIN)[0] <= 0.06


def test_an_equal_model_passes_in_ninety_five_of_a_hundred_at_least():
    """PROMISES 3: n=10,000, 400 comparisons by ROC area."""
    assert passed(areas, 400, 0.9)[0] >= 0.95


def test_where_the_interval_is_wider_than_the_margin_the_verdict_is_insufficient():
    """PROMISES 3: n=500, an equal model."""
    not_worse, insufficient = passed(areas, 200, 0.9, n=500)
    assert insufficient > 0.5
    assert not_worse < 0.5


def test_an_insufficient_comparison_names_a_margin_that_it_can_decide():
    random = np.random.default_rng(2)
    champion, ours = areas(random, 500, 0.9, 0.9)
    found = by_influence(ours, champion, MARGIN)
    assert found.smallest_margin > MARGIN
    assert by_influence(ours, champion, found.smallest_margin).decision == "not worse"
    assert found.rows_needed > 500


def test_the_rows_that_it_asks_for_are_enough():
    random = np.random.default_rng(3)
    needed = by_influence(*reversed(areas(random, 500, 0.9, 0.9)), MARGIN).rows_needed
    assert passed(areas, 100, 0.9, n=needed)[0] >= 0.9


def test_the_same_model_is_never_worse_than_itself():
    champion, _ = areas(np.random.default_rng(4), 50, 0.9, 0.9)
    assert by_influence(champion, champion, MARGIN).decision == "not worse"


def test_a_metric_that_is_not_defined_decides_nothing():
    nothing = Measured(float("nan"), np.full(10, np.nan))
    assert by_influence(nothing, nothing, MARGIN).decision == "insufficient"
    assert np.isnan(interval(nothing)[0])
