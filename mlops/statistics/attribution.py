"""What a shifted column costs a model: the loss that goes away when the column alone is put back as it was.

No label is needed. A column is mapped back to the values that it had, row by row, with as little change as possible:
numbers by their rank (the monotone rearrangement, which is the cheapest transport in one dimension; Santambrogio
2015, section 2), words and gaps by the maximal coupling (Lindvall 1992). To swap one marginal at a time is how
Budhathoki et al. (2021, "Why did the distribution change?") and Zhang et al. (2023, "Why did the model fail?")
share out a shift among columns. When the answer for the mapped row is the right one, the answer that the model gives
now is worse by the squared distance of the two: the divergence of the quadratic score (Gneiting and Raftery 2007,
section 2.2). Where the world itself has moved, the number says how far this column alone has carried the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

MOST_ROWS = 5_000
"""Rows that the model answers anew for each column: enough for two digits of a mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The squared error that a column's shift adds to a model's answers, and its 95 % interval over n rows."""

    column: str
    loss: float
    interval: tuple[float, float]
    n: int


def costs(
    columns: Iterable[str],
    before: Mapping[str, Any],
    now: pd.DataFrame,
    answers: Callable[[pd.DataFrame], Floats],
    *,
    seed: int = 0,
) -> tuple[Cost, ...]:
    """The cost of each column's shift, dearest first.

    `now` has the model's columns; `before` the values that those columns had. `answers` gives shape (rows, k):
    probabilities of k classes, or one column of numbers in units of the label's standard deviation.
    """
    rows = now if len(now) <= MOST_ROWS else now.sample(MOST_ROWS, random_state=seed)
    rows = rows.reset_index(drop=True)
    said = answers(rows)
    found = [
        _cost(name, said, answers(rows.assign(**{name: mapped_back(rows[name], before[name], seed=seed)})))
        for name in columns
    ]
    return tuple(sorted(found, key=lambda cost: -cost.loss))


def mapped_back(now: pd.Series, before: pd.Series, *, seed: int = 0) -> pd.Series:
    """`now` with the distribution of `before`, gaps included; a row changes as little as it can."""
    import pandas as pd

    random = np.random.default_rng(seed)
    result = now.astype("float64" if pd.api.types.is_numeric_dtype(now.dtype) else object).copy()
    known = before.dropna()
    gone = _gaps(now.isna().to_numpy(), float(before.isna().mean()) if len(before) else 0.0, random)
    if not len(known):
        return result.mask(np.ones(len(now), bool))
    fresh, kept = now.isna().to_numpy() & ~gone, now.notna().to_numpy() & ~gone
    values = result.to_numpy(copy=True)
    values[fresh] = random.choice(known.to_numpy(), int(fresh.sum()))
    values[kept] = _values(now[kept], known, random)
    values[gone] = np.nan
    return pd.Series(values, index=now.index)


def _cost(name: str, said: Floats, again: Floats) -> Cost:
    # Two probabilities that sum to one both move: half of the sum is Brier's score of one of them.
    rows = ((said - again) ** 2).sum(axis=1) / (2 if said.shape[1] > 1 else 1)
    loss, error = float(rows.mean()), float(rows.std() / np.sqrt(max(rows.size, 1)))
    return Cost(column=name, loss=loss, interval=(max(0.0, loss - 1.96 * error), loss + 1.96 * error), n=rows.size)


def _gaps(gone: NDArray[np.bool_], share: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """Which rows have a gap when `share` of them do: those that have one, and as many fewer or more as it takes."""
    wanted, result = round(share * gone.size), gone.copy()
    surplus = int(gone.sum()) - wanted
    changing = np.flatnonzero(gone if surplus > 0 else ~gone)
    result[random.choice(changing, min(abs(surplus), changing.size), replace=False)] = surplus < 0
    return result


def _values(now: pd.Series, before: pd.Series, random: np.random.Generator) -> NDArray[Any]:
    import pandas as pd

    if not len(now):
        return now.to_numpy()
    if pd.api.types.is_numeric_dtype(now.dtype) and pd.api.types.is_numeric_dtype(before.dtype):
        # Equal values take their ranks by chance, so that a value which many rows share becomes several.
        order = np.lexsort((random.random(len(now)), now.to_numpy(dtype=np.float64)))
        levels = np.empty(len(now))
        levels[order] = (np.arange(len(now)) + 0.5) / len(now)
        found: NDArray[np.float64] = np.quantile(before.to_numpy(dtype=np.float64), levels, method="inverted_cdf")
        return found
    return _coupled(now.astype(str).to_numpy(dtype=object), before.astype(str).to_numpy(dtype=object), random)


def _coupled(now: NDArray[Any], before: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """Words with the shares of `before`: a row keeps its word unless there are too many of it."""
    names, codes = np.unique(np.concatenate([now, before]).astype(str), return_inverse=True)
    mine, theirs = codes[: now.size], codes[now.size :]
    have, want = (np.bincount(c, minlength=names.size) / c.size for c in (mine, theirs))
    keeps = np.minimum(1.0, want / np.maximum(have, 1e-300))[mine]
    moves = random.random(mine.size) >= keeps
    lacking = np.maximum(want - have, 0.0)
    result = mine.copy()
    if moves.any() and lacking.sum() > 0:
        result[moves] = random.choice(names.size, int(moves.sum()), p=lacking / lacking.sum())
    return names[result].astype(object)
