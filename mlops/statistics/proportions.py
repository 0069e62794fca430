"""The difference of two paired proportions, such as two models' accuracies on the same rows: its bounds.

Only the rows on which exactly one is right tell anything (McNemar 1947). Of those, `gained` are right by the
challenger alone and `lost` by the champion alone.
"""

from __future__ import annotations

import math

FEW_DISCORDANT = 25
"""Below this many rows that differ, the exact bounds are used: the usual limit of McNemar's approximation."""


def bounds(gained: int, lost: int, n: int, level: float) -> tuple[float, float]:
    """One-sided bounds of the difference, each of confidence `level`: exact where few rows differ, else the score's."""
    return (exact if gained + lost < FEW_DISCORDANT else score)(gained, lost, n, level)


def score(gained: int, lost: int, n: int, level: float) -> tuple[float, float]:
    """Bounds that invert the score test; at a difference of 0 that is McNemar's.

    Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17 (1998).
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    z, found, edge = float(ndtri(level)), (gained - lost) / n, 1 - 1e-12

    def test(theta: float) -> float:
        a, b = 2 * n, (2 * n - gained + lost) * theta - gained - lost
        nuisance = (math.sqrt(max(b * b + 4 * a * lost * theta * (1 - theta), 0.0)) - b) / (2 * a)
        variance = n * (2 * nuisance + theta * (1 - theta))
        gap = gained - lost - n * theta
        return gap / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, gap) if gap else 0.0

    def crossing(target: float, low: float, high: float) -> float:
        def beyond(theta: float) -> float:
            return min(max(test(theta) - target, -1e9), 1e9)

        return float(brentq(beyond, low, high)) if beyond(low) * beyond(high) < 0 else (low if target > 0 else high)

    return crossing(z, -edge, found), crossing(-z, found, edge)


def exact(gained: int, lost: int, n: int, level: float) -> tuple[float, float]:
    """Bounds that hold at any n: Clopper and Pearson's of both shares, each at half the error (Bonferroni)."""
    half = (1 - level) / 2
    return (
        _low(gained, n, half) - _high(lost, n, half),
        _high(gained, n, half) - _low(lost, n, half),
    )


def _low(count: int, n: int, error: float) -> float:
    from scipy.special import betaincinv

    return float(betaincinv(count, n - count + 1, error)) if count else 0.0


def _high(count: int, n: int, error: float) -> float:
    from scipy.special import betaincinv

    return float(betaincinv(count + 1, n - count, 1 - error)) if count < n else 1.0
