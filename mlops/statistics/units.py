"""Whether a column of numbers came in another unit: all of it moved by a known conversion, and kept its shape.

Growth, seasons and drift move quantiles by different factors; a conversion moves all of them by the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlops.facts import LEVELS

LEAST = 100
"""Values that are needed: the quantiles of fewer wander."""

# Kilometres for miles (1.6) is not among them: seasons do as much (air quality, three of 6,279 honest windows).
_FACTORS: dict[float, str] = {
    10.0: "a decimal place",
    100.0: "cents for euros, or per cent for shares",
    1e3: "thousandths, such as metres for kilometres",
    1e4: "four decimal places",
    1e6: "millionths",
    1e9: "nanoseconds for seconds",
    60.0: "minutes for hours",
    3600.0: "seconds for hours",
    86_400.0: "seconds for days",
    24.0: "hours for days",
    12.0: "months for years",
    7.0: "days for weeks",
    1024.0: "kilobytes for megabytes",
    2.54: "centimetres for inches",
    25.4: "millimetres for inches",
    3.28084: "feet for metres",
    2.204623: "pounds for kilograms",
    28.34952: "grams for ounces",
    3.785412: "litres for gallons",
    4.184: "joules for calories",
    3.6: "km/h for m/s",
}
_SHIFTED: tuple[tuple[float, float, str], ...] = (
    (1.8, 32.0, "degrees Fahrenheit for Celsius"),
    (1 / 1.8, -32 / 1.8, "degrees Celsius for Fahrenheit"),
    (1.0, 273.15, "kelvin for degrees Celsius"),
    (1.0, -273.15, "degrees Celsius for kelvin"),
)
_LARGE, _HUGE = 7.0, 24.0  # nothing honest grows sevenfold in every quantile at once
_CLOSE, _SHAPE = (0.12, 0.3), (0.35, 0.7)  # for large and huge factors, in logarithms: the middle quantiles, and each
_EXACT, _WIDEST = 0.05, 0.12  # for small factors each quantile has to agree, but for the noise of the sample
_FIT, _AWAY = 0.1, 1.0  # for shifted scales, as shares of the spread: how well it fits, how badly no change would


@dataclass(frozen=True, slots=True)
class Jump:
    """A conversion that explains today's quantiles: its factor (None where it moves the zero as well), and in words."""

    factor: float | None
    words: str


def jump(before: Sequence[float], after: Sequence[float], n: int) -> Jump | None:
    """The conversion between two rows of quantiles (at `LEVELS`, of values that are not zero), None without one.

    `n` is the number of values behind `after`.
    """
    old, new = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if n < LEAST or old.size != len(LEVELS) or new.size != len(LEVELS) or np.ptp(old) == 0:
        return None
    return _multiplied(old, new, n) or _shifted(old, new)


def _multiplied(old: np.ndarray, new: np.ndarray, n: int) -> Jump | None:
    if (np.sign(old) == np.sign(new)).all() and abs(np.sign(old).sum()) == old.size:
        logs = np.log(new / old)
        noise = _noise(np.log(np.abs(old)), n)
    else:
        return _mirrored(old, new)
    found = [
        (abs(float(np.median(logs)) - goal), math.exp(goal), words)
        for goal, words in _goals()
        if _agrees(logs - goal, noise, math.exp(abs(goal)))
    ]
    return Jump(*min(found)[1:]) if found else None


def _agrees(away: np.ndarray, noise: np.ndarray, factor: float) -> bool:
    if factor >= _LARGE:
        size = int(factor >= _HUGE)
        return bool(np.abs(away[1:-1]).mean() < _CLOSE[size] and np.abs(away).max() < _SHAPE[size])
    allowed = np.maximum(_EXACT, 3 * noise)
    return bool(noise.max() * 3 < _WIDEST and (np.abs(away) < allowed).all())


def _mirrored(old: np.ndarray, new: np.ndarray) -> Jump | None:
    """Columns of both signs: only a large factor, by the spread and the place together."""
    for goal, words in _goals():
        factor = math.exp(goal)
        if abs(goal) >= math.log(_LARGE) and np.abs(new / factor - old).max() < 2 * _FIT * np.ptp(old):
            return Jump(factor, words)
    return None


def _shifted(old: np.ndarray, new: np.ndarray) -> Jump | None:
    spread = float(np.ptp(old))
    for scale, offset, words in _SHIFTED:
        moved = np.abs(new - old).min() > _AWAY * spread
        if moved and np.abs(new - (scale * old + offset)).max() < 2 * _FIT * scale * spread:
            return Jump(None, words)
    return None


def _goals() -> list[tuple[float, str]]:
    up = [(math.log(factor), words) for factor, words in _FACTORS.items()]
    return [*up, *((-goal, f"the inverse of {words}") for goal, words in up)]


def _noise(logs: np.ndarray, n: int) -> np.ndarray:
    """The standard error of each quantile of `n` values: sqrt(p (1 - p) / n) over its density (Stuart and Ord)."""
    levels = np.array(LEVELS)
    density = np.gradient(levels, np.sort(logs) + np.arange(levels.size) * 1e-9)
    return np.asarray(np.sqrt(levels * (1 - levels) / n) / np.maximum(density, 1e-9))
