"""Whether probabilities mean what they say: the expected calibration error without its bias, and a test.

The plain expected calibration error is never 0, not even for a perfectly calibrated model: each bin's share
strays from its mean by chance. Kumar, Liang, Ma, "Verified Uncertainty Calibration", NeurIPS 2019, take that part off
the squared error. The test of perfect calibration is Spiegelhalter's, Statistics in Medicine 5 (1986).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops.statistics.influence import Answers

Floats = NDArray[np.float64]

BINS = 15
_LEAST = 20  # rows of a bin, so that its share means something
_Z = 1.959964  # of a two-sided interval of 95 %


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The debiased calibration error (root of the mean square), its 95 % interval, and the test.

    `z` and `p` are Spiegelhalter's: of getting a Brier score as far from its expectation if the probabilities were
    right. `lean` is the mean probability minus the share that came true: above 0 the model is too sure.
    """

    error: float
    lower: float
    upper: float
    z: float
    p: float
    lean: float
    n: int


def positive_chances(answers: Answers) -> tuple[Floats, NDArray[np.bool_]]:
    """The probability that is judged, and whether it came true: of class 1, or of the answer among many classes."""
    if answers.probabilities is None:
        raise ValueError("the model gives no probabilities")
    if answers.probabilities.shape[1] == 2:
        return answers.probabilities[:, 1], answers.actual == 1
    return answers.probabilities.max(axis=1), answers.probabilities.argmax(axis=1) == answers.actual


def bins_of(chances: Floats, happened: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Mean probability, share that came true and rows of each bin; bins of equally many rows, ties together."""
    group = _groups(chances)
    return _means(group, chances, happened.astype(np.float64))


def calibration(answers: Answers) -> Calibration:
    """The calibration of the probabilities; NaN where there are too few rows for two bins."""
    chances, happened = positive_chances(answers)
    truth = happened.astype(np.float64)
    n = chances.size
    if n < 2 * _LEAST:
        nothing = math.nan
        return Calibration(error=nothing, lower=nothing, upper=nothing, z=nothing, p=nothing, lean=nothing, n=n)
    square, width = _square(_groups(chances), chances, truth)
    z, p = spiegelhalter(chances, happened)
    return Calibration(
        error=math.sqrt(max(square, 0.0)),
        lower=math.sqrt(max(square - width, 0.0)),
        upper=math.sqrt(max(square + width, 0.0)),
        z=z,
        p=p,
        lean=float(chances.mean() - truth.mean()),
        n=n,
    )


def spiegelhalter(chances: Floats, happened: NDArray[np.bool_]) -> tuple[float, float]:
    """Spiegelhalter's z and its two-sided p; (0, 1) where every probability is 0, ½ or 1 and none was wrong."""
    from scipy.special import ndtr

    truth = happened.astype(np.float64)
    variance = float((np.square(1 - 2 * chances) * chances * (1 - chances)).sum())
    deviation = float(((truth - chances) * (1 - 2 * chances)).sum())
    if variance <= 0:
        return (0.0, 1.0) if not deviation else (math.copysign(math.inf, deviation), 0.0)
    z = deviation / math.sqrt(variance)
    return z, float(2 * ndtr(-abs(z)))


def _groups(chances: Floats) -> NDArray[np.int64]:
    """The bin of each row: quantiles, so that equal probabilities are in one."""
    count = max(2, min(BINS, chances.size // _LEAST))
    edges = np.unique(np.quantile(chances, np.linspace(0, 1, count + 1)[1:-1]))
    found = np.searchsorted(edges, chances, side="left")
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def _means(group: NDArray[np.int64], chances: Floats, truth: Floats) -> tuple[Floats, Floats, Floats]:
    sizes: Floats = np.bincount(group).astype(np.float64)
    return np.bincount(group, chances) / sizes, np.bincount(group, truth) / sizes, sizes


def _square(group: NDArray[np.int64], chances: Floats, truth: Floats) -> tuple[float, float]:
    """The mean squared difference of the bins, less what chance alone gives, and half the width of its interval.

    The difference d of a bin is normal with variance v, so d² has the variance 4 d² v + 2 v²: the second part keeps the
    interval right near 0, where the first one vanishes.
    """
    said, happened, sizes = _means(group, chances, truth)
    spread = np.bincount(group, np.square((truth - chances) - (happened - said)[group]))
    chance = spread / (sizes * np.maximum(sizes - 1, 1))
    share = sizes / sizes.sum()
    squares = np.square(said - happened) - chance
    variance = float((np.square(share) * (4 * np.maximum(squares, 0) * chance + 2 * np.square(chance))).sum())
    return float((squares * share).sum()), _Z * math.sqrt(variance)
