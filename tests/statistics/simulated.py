"""Champion and challenger on the same rows, drawn from worlds in which their true difference is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, ndtri
from scipy.stats import binom

from mlops.statistics.influence import Answers, measure

Pair = tuple[Answers, Answers]
Floats = np.ndarray


def of_chances(actual: Floats, chances: Floats) -> Answers:
    return Answers(actual, (chances > 0.5).astype(float), np.column_stack([1 - chances, chances]))


def correlated(random: np.random.Generator, n: int, share: float) -> tuple[Floats, Floats]:
    """Two standard normal columns with that correlation."""
    common, own = random.normal(size=n) * np.sqrt(share), random.normal(size=(2, n)) * np.sqrt(1 - share)
    return common + own[0], common + own[1]


def areas(random: np.random.Generator, n: int, worse: float, *, champion: float = 0.9, share: float = 0.8) -> Pair:
    """Normal scores of the two classes, with exactly these ROC areas."""
    actual = (random.random(n) < 0.3).astype(float)
    distances = [np.sqrt(2) * ndtri(area) for area in (champion - worse, champion)]
    noise = correlated(random, n, share)
    ours, theirs = (of_chances(actual, expit(d * (actual - 0.5) + e)) for d, e in zip(distances, noise, strict=True))
    return ours, theirs


@cache
def precision_of(distance: float) -> float:
    """The average precision of normal scores that lie `distance` apart, 30 % positive: the integral by quantiles."""
    from scipy.stats import norm

    recall = (np.arange(20_000) + 0.5) / 20_000
    false_alarms = norm.sf(norm.isf(recall) + distance)
    return float((0.3 * recall / (0.3 * recall + 0.7 * false_alarms)).mean())


@cache
def distance_of(precision: float) -> float:
    return float(brentq(lambda d: precision_of(d) - precision, 0.1, 6))


def precisions(random: np.random.Generator, n: int, worse: float) -> Pair:
    """Normal scores with exactly these average precisions, 0.85 for the champion."""
    actual = (random.random(n) < 0.3).astype(float)
    noise = correlated(random, n, 0.9)
    distances = distance_of(0.85 - worse), distance_of(0.85)
    ours, theirs = (of_chances(actual, expit(d * (actual - 0.5) + e)) for d, e in zip(distances, noise, strict=True))
    return ours, theirs


def accuracies(random: np.random.Generator, n: int, worse: float) -> Pair:
    """Right or wrong; on 90 % of the rows both models get it by the same luck."""
    luck, own, shared = random.random(n), random.random((2, n)), random.random(n) < 0.9
    actual = np.zeros(n)
    wrong = [(np.where(shared, luck, own[k]) > 0.9 - w).astype(float) for k, w in enumerate((worse, 0.0))]
    return Answers(actual, wrong[0]), Answers(actual, wrong[1])


@cache
def blur_of(worse: float) -> float:
    """The noise that makes a challenger's log loss worse than the champion's by this share (of a million rows)."""
    random = np.random.default_rng(9)
    truth, noise = random.normal(size=1_000_000), random.normal(size=1_000_000)

    def loss(extra: float) -> float:
        p, q = expit(truth), np.clip(expit(truth + np.sqrt(0.04 + extra) * noise), 1e-12, 1 - 1e-12)
        return float(-(p * np.log(q) + (1 - p) * np.log(1 - q)).mean())

    base = loss(0.0)
    return float(brentq(lambda extra: loss(extra) - base * (1 + worse), 0.0, 2.0)) if worse else 0.0


def losses(random: np.random.Generator, n: int, worse: float) -> Pair:
    """Chances that stray from the true ones; the challenger's stray further, by a share of the log loss."""
    truth = random.normal(size=n)
    actual = (random.random(n) < expit(truth)).astype(float)
    noise = random.normal(size=(2, n))
    ours = of_chances(actual, expit(truth + np.sqrt(0.04 + blur_of(worse)) * noise[0]))
    return ours, of_chances(actual, expit(truth + 0.2 * noise[1]))


def errors(random: np.random.Generator, n: int, worse: float) -> Pair:
    """Skewed amounts; the challenger's errors are the champion's kind, larger by the share."""
    actual = random.gamma(2, 50, n)
    first, second = correlated(random, n, 0.98)
    scale = 5 + actual / 20
    return Answers(actual, actual + (1 + worse) * scale * first), Answers(actual, actual + scale * second)


@dataclass(frozen=True)
class World:
    """How to draw a pair, and the margin at which it is compared (a share, for errors)."""

    draw: Callable[[np.random.Generator, int, float], Pair]
    margin: float = 0.01


WORLDS = {
    "roc_auc": World(areas),
    "average_precision": World(precisions),
    "accuracy": World(accuracies),
    "neg_log_loss": World(losses),
    "neg_mean_absolute_error": World(errors),
}


def allowance(times: int, share: float) -> float:
    """The largest share of `times` that a true `share` gives in 99 of 100 simulations: the simulation's own error."""
    return float(binom.ppf(0.99, times, share)) / times


def value(metric: str, answers: Answers) -> float:
    return measure(metric, answers).value
