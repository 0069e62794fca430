from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops.statistics.attribution import costs, mapped_back
from mlops.statistics.drift import wasserstein

N = 4_000


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_numbers_that_are_mapped_back_have_the_old_distribution_and_the_order_that_they_have_now():
    random = rng()
    now, before = pd.Series(random.gamma(2, 3, N)), pd.Series(random.normal(size=N))
    back = mapped_back(now, before)
    assert wasserstein(np.sort(back), np.sort(before)) < 0.01
    assert back.corr(now, method="spearman") == pytest.approx(1.0)


def test_counts_that_many_rows_share_are_shared_out_again():
    random = rng()
    now, before = pd.Series(np.zeros(N)), pd.Series(random.integers(0, 4, N))
    assert mapped_back(now, before).value_counts(normalize=True).to_numpy() == pytest.approx([0.25] * 4, abs=0.03)


def test_words_are_mapped_back_with_as_few_changes_as_possible():
    random = rng()
    now = pd.Series(random.choice(["a", "b", "c"], N, p=[0.2, 0.3, 0.5]))
    before = pd.Series(random.choice(["a", "b", "d"], N, p=[0.2, 0.3, 0.5]))
    back = mapped_back(now, before)
    assert back.value_counts(normalize=True).reindex(["a", "b", "d"]).tolist() == pytest.approx(
        [0.2, 0.3, 0.5], abs=0.03
    )
    assert (back == now).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("now", "before"), [(0.4, 0.1), (0.1, 0.4), (0.0, 0.3), (0.3, 0.0), (0.5, 1.0)])
def test_gaps_are_mapped_back(now, before):
    random = rng()
    holed = [pd.Series(random.normal(size=N)).mask(random.random(N) < share) for share in (now, before)]
    back = mapped_back(*holed)
    assert back.isna().mean() == pytest.approx(holed[1].isna().mean(), abs=0.001)
    kept = holed[0].notna() & back.notna()
    assert np.abs(back[kept] - holed[0][kept]).median() < 0.1 or before == 1.0


def test_columns_are_ranked_by_what_their_shift_does_to_the_answers_and_not_by_how_far_they_moved():
    """The farthest column is one that the model hardly reads."""
    random = rng()
    before = pd.DataFrame({name: random.normal(size=N) for name in ("read", "hardly", "never")})
    now = before.assign(read=before.read + 0.5, hardly=before.hardly + 3, never=before.never + 3)
    found = costs(list(now), before, now, lambda rows: (2 * rows.read + 0.01 * rows.hardly).to_numpy().reshape(-1, 1))
    assert [cost.column for cost in found] == ["read", "hardly", "never"]
    assert found[0].loss == pytest.approx(1.0, rel=0.05)  # (2 * 0.5) squared
    assert found[0].interval[0] <= 1.0 <= found[0].interval[1] or found[0].loss == pytest.approx(1.0, rel=0.02)
    assert found[2].loss == 0.0


def test_the_cost_is_the_brier_score_that_comes_back_when_a_spoilt_column_is_mended():
    """A column in another unit: the cost, which needs no label, agrees with the loss by the labels."""
    random = rng()
    sound = pd.DataFrame({"x": random.normal(size=N)})

    def chances(rows: pd.DataFrame) -> np.ndarray:
        positive = 1 / (1 + np.exp(-2 * rows.x.to_numpy()))
        return np.column_stack([1 - positive, positive])

    y = (random.random(N) < chances(sound)[:, 1]).astype(float)
    spoilt = sound * 5 + 1
    lost = ((chances(spoilt)[:, 1] - y) ** 2).mean() - ((chances(sound)[:, 1] - y) ** 2).mean()
    [cost] = costs(["x"], sound, spoilt, chances)
    assert cost.loss == pytest.approx(lost, abs=0.015)
    assert cost.interval[0] < cost.loss < cost.interval[1]
