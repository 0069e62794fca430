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
_LEVEL = 0.95
_RESAMPLES = 200


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
    return _means(group, chances, happened.astype(np.float64), np.ones(chances.size))


def calibration(answers: Answers, *, seed: int = 0) -> Calibration:
    """The calibration of the probabilities; NaN where there are too few rows for two bins."""
    chances, happened = positive_chances(answers)
    truth = happened.astype(np.float64)
    group, n = _groups(chances), chances.size
    if n < 2 * _LEAST:
        nothing = math.nan
        return Calibration(error=nothing, lower=nothing, upper=nothing, z=nothing, p=nothing, lean=nothing, n=n)
    square = _square(group, chances, truth, np.ones(n))
    random = np.random.default_rng(seed)
    drawn = [_square(group, chances, truth, w) for w in random.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES)]
    # The interval of the square by the bootstrap's spread: it stays right near 0, where percentiles do not.
    width = 1.96 * float(np.std(drawn))
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


def _means(group: NDArray[np.int64], chances: Floats, truth: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    bins = int(group.max()) + 1
    sizes: Floats = np.bincount(group, weights, bins).astype(np.float64)
    safe = np.maximum(sizes, 1)
    return np.bincount(group, weights * chances, bins) / safe, np.bincount(group, weights * truth, bins) / safe, sizes


def _square(group: NDArray[np.int64], chances: Floats, truth: Floats, weights: Floats) -> float:
    """The mean squared difference of the bins, less what chance alone gives (Kumar et al., section 5)."""
    said, happened, sizes = _means(group, chances, truth, weights)
    chance = happened * (1 - happened) / np.maximum(sizes - 1, 1)
    return float(((np.square(said - happened) - chance) * sizes).sum() / sizes.sum())
