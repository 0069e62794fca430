from __future__ import annotations

import numpy as np
import pytest

from mlops.statistics.decline import Level, assumed, decline, level
from mlops.statistics.influence import Answers, measure


def drawn(random: np.random.Generator, n: int, apart: float) -> Level:
    """The ROC area of a model whose two classes lie `apart` standard deviations from each other."""
    actual = (random.random(n) < 0.3).astype(float)
    score = 1 / (1 + np.exp(-(random.normal(0, 1, n) + apart * actual)))
    return level(measure("roc_auc", Answers(actual, (score > 0.5).astype(float), np.column_stack([1 - score, score]))))


@pytest.mark.parametrize("n", [1_000, 5_000])
def test_of_500_clean_windows_at_most_one_in_a_hundred_raises_an_alarm(n):
    """PROMISES 4, of performance: no decline is seen where there is none, and none is missed that matters."""
    random = np.random.default_rng(4)
    clean = [decline(drawn(random, n, 1.0), drawn(random, n, 1.0), margin=0.01, tolerated=0.05) for _ in range(500)]
    assert sum(found.decision == "declined" for found in clean) <= 5
    worse = [decline(drawn(random, n, 0.3), drawn(random, n, 1.0), margin=0.01, tolerated=0.05) for _ in range(100)]
    assert sum(found.decision == "declined" for found in worse) >= 99  # 0.76 fell to 0.58


def test_rows_that_resemble_their_neighbours_do_not_make_the_error_too_small():
    """PROMISES 4: five hundred windows of an hourly series whose error wanders; the plain error sees a third of it."""
    random = np.random.default_rng(0)

    def wandering() -> Level:
        steps = random.normal(0, 1, 2_000)
        noise = np.empty(2_000)
        noise[0] = steps[0]
        for at in range(1, 2_000):
            noise[at] = 0.95 * noise[at - 1] + steps[at] * np.sqrt(1 - 0.95**2)
        truth = random.normal(0, 2, 2_000)
        return level(measure("neg_mean_absolute_error", Answers(truth, truth + noise)))

    found = [decline(wandering(), wandering(), margin=0.01, tolerated=0.5).decision for _ in range(500)]
    assert found.count("declined") <= 25


def test_a_decline_within_what_is_tolerated_is_held_and_one_in_between_is_insufficient():
    then = Level(value=0.9, error=0.005, n=4_000)
    assert decline(Level(value=0.89, error=0.005, n=4_000), then, margin=0.01, tolerated=0.05).decision == "held"
    between = decline(Level(value=0.875, error=0.012, n=700), then, margin=0.01, tolerated=0.05)
    assert between.decision == "insufficient"
    assert between.rows_needed > 700
    enough = Level(value=0.875, error=0.012 * (700 / between.rows_needed) ** 0.5, n=between.rows_needed)
    assert decline(enough, then, margin=0.01, tolerated=0.05).decision == "held"


def test_no_number_of_rows_is_named_where_none_would_tell():
    then = Level(value=0.9, error=0.03, n=500)
    assert decline(Level(value=0.84, error=0.03, n=500), then, margin=0.01, tolerated=0.05).rows_needed == 0


def test_a_metric_that_is_not_defined_is_never_held():
    then = Level(value=0.9, error=0.01, n=500)
    broken = Level(value=float("nan"), error=float("nan"), n=500)
    assert decline(broken, then, margin=0.01, tolerated=0.05).decision == "insufficient"


def test_rows_that_are_gone_are_given_the_error_that_as_many_new_ones_have():
    like = Level(value=0.8, error=0.02, n=400)
    assert assumed(0.9, 1_600, like) == Level(value=0.9, error=0.01, n=1_600)
