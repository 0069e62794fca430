"""Whether columns of two tables differ: a significance that is corrected for their number, and a size of effect.

Both must speak, on enough rows: by significance alone, twenty features raise a false alarm in two of three clean
windows, and at 100,000 rows any difference is significant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANCE = 0.01
"""After Holm. At 0.05 the promise of an alarm in at most 5 % of clean windows would be kept only half the time."""

EFFECT = 0.1
LEAST_ROWS = 1_000
MOST_ROWS = 100_000  # more rows cost time, and no effect of interest needs them
_CATEGORIES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How one column differs. `effect`: Wasserstein distance in standard deviations, or total variation."""

    column: str
    effect: float
    p: float  # adjusted by Holm over all columns
    kind: str  # "values", "categories" or "missing"
    n: int
    interval: tuple[float, float] | None = None  # of the effect, 95 %; for shifts that are found

    @property
    def found(self) -> bool:
        """Whether the difference is certain, large, and on enough rows."""
        return self.p < SIGNIFICANCE and self.effect > EFFECT and self.n >= LEAST_ROWS


def shifts(reference: Mapping[str, Any], current: Mapping[str, Any], *, seed: int = 0) -> list[Shift]:
    """One Shift per column of both tables, the largest effect first."""
    found = []
    for name in (column for column in current if column in reference):
        before, after = _sample(reference[name], seed), _sample(current[name], seed)
        found.append((str(name), min(len(before), len(after)), *_differ(before, after)))
    adjusted = holm(np.array([p for *_, p in found]))
    result = [
        Shift(column=name, effect=effect, p=float(p), kind=kind, n=n)
        for (name, n, kind, effect, _), p in zip(found, adjusted, strict=True)
    ]
    bounded = [_bounded(shift, reference, current, seed) if shift.found else shift for shift in result]
    return sorted(bounded, key=lambda shift: -shift.effect)


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values adjusted for their number, so that any false alarm has the stated chance (Holm 1979)."""
    order = np.argsort(p)
    stepped = p[order] * np.arange(p.size, 0, -1)
    adjusted = np.empty(p.size)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


def kolmogorov_smirnov(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The two-sided p-value by Kolmogorov's limit; both arrays sorted. Cautious where there are ties."""
    from scipy.special import kolmogorov

    both = np.concatenate([first, second])
    gaps = np.searchsorted(first, both, "right") / first.size - np.searchsorted(second, both, "right") / second.size
    n = first.size * second.size / (first.size + second.size)
    return float(kolmogorov(np.sqrt(n) * np.abs(gaps).max()))


def wasserstein(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The mean distance between the quantiles of two sorted arrays, in units of the data."""
    if first.size == second.size:
        return float(np.abs(first - second).mean())
    levels = (np.arange(min(first.size, second.size)) + 0.5) / min(first.size, second.size)
    at = [np.interp(levels, (np.arange(v.size) + 0.5) / v.size, v) for v in (first, second)]
    return float(np.abs(at[0] - at[1]).mean())


def kantorovich_interval(
    first: NDArray[np.float64], second: NDArray[np.float64], potential: NDArray[np.float64], distance: float
) -> tuple[float, float]:
    """The 95 % interval of a transport distance, never below 0.

    `first` and `second` are indices of each row's value in `potential`, the dual solution h of the distance, which is
    E h(X) - E h(Y). Where the distributions differ, its error is normal with the variance of the two means of h
    (del Barrio, Gordaliza and Loubes 2019; Sommerfeld and Munk 2018).
    """
    at = [potential[rows.astype(np.intp)] for rows in (first, second)]
    error = float(np.sqrt(sum(float(h.var()) / h.size for h in at)))
    return max(0.0, distance - 1.96 * error), distance + 1.96 * error


def _bounded(shift: Shift, reference: Mapping[str, Any], current: Mapping[str, Any], seed: int) -> Shift:
    """The shift with the interval of its effect; none where the column was constant, which gives no unit."""
    before, after = _sample(reference[shift.column], seed), _sample(current[shift.column], seed)
    if shift.kind == "missing":
        sides = [values.isna().to_numpy().astype(float) for values in (before, after)]
        potential = np.array([0.0, np.sign(sides[0].mean() - sides[1].mean())])
        return replace(shift, interval=kantorovich_interval(sides[0], sides[1], potential, shift.effect))
    before, after = before.dropna(), after.dropna()
    if shift.kind == "categories":
        (first, second), potential = _coded_categories(before, after)
        return replace(shift, interval=kantorovich_interval(first, second, potential, shift.effect))
    first, second = _sorted(before), _sorted(after)
    unit = _spread(first)
    if not unit:
        return shift
    both = np.unique(np.concatenate([first, second]))
    gaps = np.searchsorted(first, both, "right") / first.size - np.searchsorted(second, both, "right") / second.size
    potential = -np.r_[0.0, np.cumsum(np.sign(gaps[:-1]) * np.diff(both))] / unit
    rows = [np.searchsorted(both, values).astype(float) for values in (first, second)]
    return replace(shift, interval=kantorovich_interval(rows[0], rows[1], potential, shift.effect))


def _coded_categories(before: pd.Series, after: pd.Series) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Each side's rows as codes, and the potential of the total variation by code."""
    import pandas as pd

    codes, values = pd.factorize(pd.concat([before.astype(str), after.astype(str)], ignore_index=True))
    sides = [codes[: len(before)].astype(float), codes[len(before) :].astype(float)]
    shares = [np.bincount(side.astype(np.intp), minlength=len(values)) / side.size for side in sides]
    return sides, np.sign(shares[0] - shares[1]) / 2


def _sample(values: pd.Series, seed: int) -> pd.Series:
    return values if len(values) <= MOST_ROWS else values.sample(MOST_ROWS, random_state=seed)


def _differ(before: pd.Series, after: pd.Series) -> tuple[str, float, float]:
    """The kind of the larger difference, of values or of missing ones; its effect; the smaller p, doubled."""
    import pandas as pd

    gone_before, gone_after = before.isna().to_numpy(), after.isna().to_numpy()
    tests: list[tuple[str, float, float]] = []
    if gone_before.any() or gone_after.any():
        counts = np.array([[g.sum(), (~g).sum()] for g in (gone_before, gone_after)], dtype=float)
        tests.append(("missing", abs(gone_before.mean() - gone_after.mean()), _chi_squared(counts)))
    first, second = before[~gone_before], after[~gone_after]
    if len(first) and len(second):
        numeric = all(pd.api.types.is_numeric_dtype(v.dtype) or _is_time(v) for v in (first, second))
        tests.append(_numbers(first, second) if numeric else _categories(first, second))
    if not tests:
        return "values", 0.0, 1.0
    kind, effect, _ = max(tests, key=lambda test: test[1])
    return kind, float(effect), min(1.0, len(tests) * min(p for *_, p in tests))


def _numbers(before: pd.Series, after: pd.Series) -> tuple[str, float, float]:
    first, second = (_sorted(values) for values in (before, after))
    if not first.size or not second.size:
        return "values", 0.0, 1.0
    distance, spread = wasserstein(first, second), _spread(first)
    # A column that was constant has no spread; any move of it is large.
    effect = distance / spread if spread else float(distance > 0)
    return "values", effect, kolmogorov_smirnov(first, second)


def _spread(ordered: NDArray[np.float64]) -> float:
    """The standard deviation; exactly 0 of one value, whose mean may be a rounding away from it."""
    return 0.0 if ordered[0] == ordered[-1] else float(ordered.std())


def _categories(before: pd.Series, after: pd.Series) -> tuple[str, float, float]:
    import pandas as pd

    first, second = before.astype(str).value_counts(), after.astype(str).value_counts()
    counts = pd.concat([first, second], axis=1).fillna(0).to_numpy(dtype=float).T
    order = np.argsort(-counts.sum(axis=0))
    kept, rest = counts[:, order[:_CATEGORIES]], counts[:, order[_CATEGORIES:]].sum(axis=1, keepdims=True)
    counts = np.hstack([kept, rest])
    shares = counts / counts.sum(axis=1, keepdims=True)
    return "categories", float(np.abs(shares[0] - shares[1]).sum() / 2), _chi_squared(counts)


def _chi_squared(counts: NDArray[np.float64]) -> float:
    """The p-value of Pearson's test of equal shares, of shape (2, k); columns with few expected are put together."""
    from scipy.special import chdtrc

    few = counts.sum(axis=0) * counts.sum(axis=1).min() / counts.sum() < 5
    counts = np.hstack([counts[:, ~few], counts[:, few].sum(axis=1, keepdims=True)])
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2:
        return 1.0
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / counts.sum()
    return float(chdtrc(counts.shape[1] - 1, ((counts - expected) ** 2 / expected).sum()))


def _is_time(values: pd.Series) -> bool:
    return getattr(values.dtype, "kind", "") == "M"


def _sorted(values: pd.Series) -> NDArray[np.float64]:
    """Finite values in order; times as their number."""
    plain = values.astype("int64") if _is_time(values) else values
    numbers = np.asarray(plain, dtype=np.float64)
    return np.sort(numbers[np.isfinite(numbers)])
