from __future__ import annotations

import numpy as np
import pytest

from mlops.statistics.label_noise import contradicted, deviations, wilson

N = 5_000


def labels(overlap: float, wrong: float, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Codes and honest probabilities of two classes; the greater the `overlap`, the less sure; `wrong` are turned."""
    random = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(-random.normal(0, 4 / overlap, N)))
    codes = (random.random(N) < chance).astype(int)
    turned = random.random(N) < wrong
    return np.where(turned, 1 - codes, codes), np.column_stack([1 - chance, chance])


@pytest.mark.parametrize("wrong", [0.0, 0.05, 0.2])
def test_the_share_of_wrong_labels_is_estimated_where_classes_lie_apart(wrong):
    found = contradicted(*labels(1.0, wrong))
    assert found.decided
    assert found.interval[0] - 0.005 <= wrong <= found.interval[1]


def test_overlap_is_not_taken_for_wrong_labels():
    found = contradicted(*labels(5.0, 0.0))
    assert found.overall > 0.2
    assert not found.decided


def test_the_share_of_a_few_is_bounded_as_wilson_did():
    assert wilson(0, 100) == pytest.approx((0.0, 0.037), abs=1e-3)
    assert wilson(5, 100) == pytest.approx((0.0215, 0.1118), abs=1e-3)


def test_a_number_ten_times_too_large_is_far_out_and_noise_that_grows_with_the_amount_is_not():
    random = np.random.default_rng(0)
    said = random.uniform(1, 100, N)
    y = said * random.normal(1, 0.1, N)
    y[:20] *= 10
    far = deviations(y, said) > 8
    assert far[:20].sum() >= 18
    assert far[20:].mean() < 0.001


def test_a_label_that_is_predicted_exactly_has_no_outlier():
    y = np.arange(N, dtype=float)
    assert not deviations(y, y).any()
