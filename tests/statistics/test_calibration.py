from __future__ import annotations

import numpy as np
import pytest

from mlops.statistics.calibration import bins_of, calibration, spiegelhalter
from mlops.statistics.influence import Answers
from tests.statistics.simulated import allowance, of_chances


def calibrated(n: int, seed: int, power: float = 1.0) -> Answers:
    """Events that happen as often as said; with another power the probabilities are drawn to or from the edges."""
    random = np.random.default_rng(seed)
    chances = random.beta(1, 3, n)
    odds = (chances / (1 - chances)) ** power
    return of_chances((random.random(n) < chances).astype(float), odds / (1 + odds))


def test_the_error_of_a_calibrated_model_is_about_nothing_at_any_n():
    """Without the correction the square would be 2.2 / n: fifteen bins, each with its own chance."""
    for n in (300, 1_000, 20_000):
        squares = [np.square(calibration(calibrated(n, seed)).error) for seed in range(40)]
        assert np.mean(squares) < 1.0 / n


def test_the_error_of_a_model_that_is_too_sure_is_measured():
    truth = calibrated(200_000, 1, power=2.0)
    known = calibration(truth).error
    assert 0.05 < known < 0.2
    found = [calibration(calibrated(2_000, seed, power=2.0)) for seed in range(100)]
    assert np.mean([one.error for one in found]) == pytest.approx(known, rel=0.1)
    covered = sum(one.lower <= known <= one.upper for one in found)
    assert covered >= 89  # 95 of 100, less the simulation's own error


def test_a_calibrated_model_is_said_to_be_off_in_five_of_a_hundred():
    """Simulated: 600 models of 500 rows; a true 5 % gives at most 7.2 % in 99 of 100 simulations."""
    found = [spiegelhalter(*_parts(calibrated(500, seed)))[1] < 0.05 for seed in range(600)]
    assert np.mean(found) <= allowance(600, 0.05)


def _parts(answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    return answers.probabilities[:, 1], answers.actual == 1


def test_a_wrong_model_is_found_by_the_test():
    assert spiegelhalter(*_parts(calibrated(2_000, 1, power=2.0)))[1] < 1e-6


def test_certainty_that_is_right_is_calibrated_and_certainty_that_is_wrong_is_not():
    actual = np.array([0.0, 1.0, 1.0])
    assert spiegelhalter(actual, actual == 1) == (0.0, 1.0)
    assert spiegelhalter(np.array([0.0, 1.0, 0.0]), actual == 1)[1] == 0.0


def test_bins_have_equally_many_rows_and_ties_stay_together():
    chances = np.r_[np.zeros(500), np.linspace(0.1, 0.9, 500)]
    said, happened, sizes = bins_of(chances, np.zeros(1_000, bool))
    assert sizes.sum() == 1_000
    assert said[0] == 0
    assert sizes[0] == 500
    assert (happened == 0).all()


def test_few_rows_say_nothing_of_calibration():
    assert np.isnan(calibration(calibrated(30, 1)).error)


def test_many_classes_are_judged_by_the_chance_of_their_answer():
    random = np.random.default_rng(3)
    chances = random.dirichlet([1, 1, 1], 3_000)
    actual = np.array([random.choice(3, p=row) for row in chances]).astype(float)
    sound = Answers(actual, chances.argmax(axis=1).astype(float), chances)
    assert calibration(sound).lower < 0.02
    sharp = chances**3 / (chances**3).sum(axis=1, keepdims=True)
    found = calibration(Answers(actual, sound.predicted, sharp))
    assert found.lower > 0.1
    assert found.lean > 0.1
