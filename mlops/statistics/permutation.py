"""A paired comparison without the normal approximation: which answer is whose is drawn anew, row by row.

If neither model is better, exchanging their answers on any rows changes nothing (Fisher; Good, "Permutation,
Parametric and Bootstrap Tests of Hypotheses", 2005). The statistic is divided by its standard error on every draw, so
that the bounds hold asymptotically where the models differ, too: Janssen, Statistics and Probability Letters 36 (1997);
Chung and Romano, Annals of Statistics 41 (2013).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlops.statistics.influence import Answers, measure
from mlops.statistics.paired import standard_error


def bounds(
    metric: str, challenger: Answers, champion: Answers, level: float, *, draws: int, seed: int = 0
) -> tuple[float, float, float]:
    """The difference and its one-sided bounds, each of confidence `level`.

    `draws` + 1 times (1 - `level`) should be whole (199, 999): then the level is exact for equal models.
    """
    difference, error = _difference(metric, challenger, champion)
    random = np.random.default_rng(seed)
    statistics = []
    for _ in range(draws):
        found, spread = _difference(
            metric, *_swapped(challenger, champion, random.random(challenger.actual.size) < 0.5)
        )
        if np.isfinite(found) and np.isfinite(spread):
            statistics.append(found / spread if spread > 0 else 0.0)
    if not statistics:
        return difference, float("nan"), float("nan")
    # Exchanging all rows turns the sign, so both signs belong to the distribution.
    both = np.sort(np.r_[statistics, np.negative(statistics)])
    width = float(both[min(int(np.ceil(level * (both.size + 1))), both.size) - 1]) * error
    return difference, difference - width, difference + width


def _difference(metric: str, challenger: Answers, champion: Answers) -> tuple[float, float]:
    ours, theirs = measure(metric, challenger), measure(metric, champion)
    return ours.value - theirs.value, standard_error(ours.influence - theirs.influence)


def _swapped(one: Answers, other: Answers, rows: NDArray[np.bool_]) -> tuple[Answers, Answers]:
    def mixed(a: Answers, b: Answers) -> Answers:
        probabilities = None
        if a.probabilities is not None and b.probabilities is not None:
            probabilities = np.where(rows[:, None], b.probabilities, a.probabilities)
        return Answers(a.actual, np.where(rows, b.predicted, a.predicted), probabilities)

    return mixed(one, other), mixed(other, one)
