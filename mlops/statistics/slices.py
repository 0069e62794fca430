"""Parts of a table in words (`amount > 120 and channel = 'online'`), and a search for those where a loss is high.

Slice finding (Chung et al. 2019, "Slice Finder") by shallow regression trees on one and on two columns. What is
found on some rows says nothing about them: judge it on others, and adjust for the number of candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

VALUES = 12
"""So many values of a text column are told apart; the others are rare."""

_PAIRED = 6
_FEWEST_BINS, _MOST_BINS, _PER_BIN = 10, 40, 40


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """One column's part: `sign` is one of `=`, `≠`, `>`, `≤`, `is` (missing)."""

    column: str
    sign: str
    value: float | str

    def __str__(self) -> str:
        if self.sign == "is":
            return f"{self.column} is missing"
        shown = repr(self.value) if isinstance(self.value, str) else f"{self.value:g}"
        return f"{self.column} {self.sign} {shown}"

    def holds(self, table: Mapping[str, pd.Series] | pd.DataFrame) -> NDArray[np.bool_]:
        """Which rows of a table it is true for; a missing value is neither above nor below anything."""
        values: pd.Series = table[self.column]
        if self.sign == "is":
            return np.asarray(values.isna(), dtype=bool)
        if self.sign in "=≠":
            same = np.asarray(values.astype(str) == self.value, dtype=bool)
            return same if self.sign == "=" else ~same
        numbers = np.asarray(values, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            return np.asarray(numbers > float(self.value) if self.sign == ">" else numbers <= float(self.value))


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows for which all conditions hold."""

    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions))

    def holds(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Which rows of the table belong to it."""
        return np.asarray(np.logical_and.reduce([one.holds(table) for one in self.conditions]))


def search(table: pd.DataFrame, loss: Floats, *, least: int, most: int = 8) -> list[Slice]:
    """The slices with the surest high `loss`, best first: of `least` rows at least, of one or two columns.

    `loss` has shape (n,) with mean 0 over the whole table, where 0 is what was expected.
    """
    columns = {str(name): coded for name in table.columns if (coded := _coded(table[name])) is not None}
    alone = {name: list(_leaves({name: coded}, loss, least)) for name, coded in columns.items()}
    best = sorted(alone, key=lambda name: -max((score for score, _ in alone[name]), default=0.0))[:_PAIRED]
    pairs = [_leaves({a: columns[a], b: columns[b]}, loss, least) for a, b in combinations(best, 2)]
    scored: dict[Slice, float] = {}
    for found in (*alone.values(), *pairs):
        scored |= {_said_plainly(part, table): score for score, part in found if score > 0}
    return sorted(scored, key=lambda part: -scored[part])[:most]


def alike(answers: Floats) -> NDArray[np.intp]:
    """Ten to forty groups of rows by their answers (shape (n,)), fewer where answers repeat."""
    bins = int(np.clip(answers.size // _PER_BIN, _FEWEST_BINS, _MOST_BINS))
    edges = np.unique(np.quantile(answers, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, answers, side="left")


def centred(values: Floats, groups: NDArray[np.intp]) -> Floats:
    """Values minus their group's mean."""
    counts = np.maximum(np.bincount(groups), 1)
    centre: Floats = values - (np.bincount(groups, weights=values) / counts)[groups]
    return centre


def excess(loss: Floats, inside: NDArray[np.bool_], groups: NDArray[np.intp], beyond: float) -> tuple[float, float]:
    """How much higher the loss is inside than outside among rows of one group, and the p value of "at most `beyond`".

    Least squares on the groups and the slice's indicator (Frisch, Waugh, Lovell), with standard errors that bear
    unequal variances (HC3 by the slice's leverage; MacKinnon and White 1985).
    """
    from scipy.special import ndtr

    indicator = centred(inside.astype(np.float64), groups)
    spread = float(np.square(indicator).sum())
    if spread < 1e-9:
        return 0.0, 1.0
    slope = float(indicator @ loss / spread)
    left = (centred(loss, groups) - slope * indicator) / (1 - np.minimum(np.square(indicator) / spread, 0.5))
    error = float(np.sqrt(np.square(indicator * left).sum())) / spread
    return slope, float(ndtr((beyond - slope) / error)) if error else float(slope <= beyond)


def _coded(values: pd.Series) -> list[tuple[Floats, Condition | None]] | None:
    """A column as columns for a tree: a number itself and whether it is missing, or one for each common value."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return None
    name = str(values.name)
    coded: list[tuple[Floats, Condition | None]] = []
    if pd.api.types.is_numeric_dtype(values.dtype):
        numbers = np.asarray(values, dtype=np.float64)
        finite = np.isfinite(numbers)
        if finite.any() and np.ptp(numbers[finite]):
            coded.append((np.where(finite, numbers, np.median(numbers[finite])), None))
    else:
        for value in values.dropna().astype(str).value_counts().index[:VALUES]:
            condition = Condition(name, "=", str(value))
            coded.append((condition.holds({name: values}).astype(np.float64), condition))
    missing = Condition(name, "is", "")
    gone = missing.holds({name: values})
    if gone.any():
        coded.append((gone.astype(np.float64), missing))
    return coded or None


def _leaves(
    columns: Mapping[str, list[tuple[Floats, Condition | None]]], loss: Floats, least: int
) -> Iterator[tuple[float, Slice]]:
    """The leaves of a small tree on the columns, each with how sure its loss is high (a z value)."""
    from sklearn.tree import DecisionTreeRegressor

    named = [(name, *coded) for name, many in columns.items() for coded in many]
    x = np.column_stack([values for _, values, _ in named])
    tree = DecisionTreeRegressor(max_depth=2, min_samples_leaf=least, random_state=0).fit(x, loss)
    leaf = tree.apply(x)
    for node, conditions in _paths(tree.tree_, named, 0, ()):
        rows = loss[leaf == node]
        part = _merged(conditions)
        if part and len({c.column for c in part}) <= 2:
            yield float(rows.mean() / (rows.std() / np.sqrt(rows.size) + 1e-12)), Slice(part)


def _paths(tree: Any, named: list[Any], node: int, above: tuple[Condition, ...]) -> Iterator[Any]:
    left, right = tree.children_left[node], tree.children_right[node]
    if left == right:
        yield node, above
        return
    name, _, condition = named[tree.feature[node]]
    sides: tuple[Condition | None, Condition | None] = None, condition
    if condition is None:
        cut = float(f"{tree.threshold[node]:.3g}")
        sides = Condition(name, "≤", cut), Condition(name, ">", cut)
    elif condition.sign == "=":
        sides = Condition(name, "≠", condition.value), condition
    for child, one in zip((left, right), sides, strict=True):
        yield from _paths(tree, named, child, above if one is None else (*above, one))


def _said_plainly(part: Slice, table: pd.DataFrame) -> Slice:
    """Of two values, "not the one" is the other."""
    conditions = []
    for one in part.conditions:
        values = table[one.column]
        others = [] if one.sign != "≠" or values.isna().any() else list(values.astype(str).unique())
        other = next((value for value in others if value != one.value), "")
        conditions.append(Condition(one.column, "=", str(other)) if len(others) == 2 else one)
    return Slice(tuple(conditions))


def _merged(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Without what says nothing beside the rest: `a > 1 and a > 2` is `a > 2`, `c = 'x' and c ≠ 'y'` is `c = 'x'`."""
    kept: dict[tuple[str, str], Condition] = {}
    for one in conditions:
        place = (one.column, one.sign if one.sign in (">", "≤") else f"{one.sign} {one.value}")
        if place not in kept or _tighter(one, kept[place]):
            kept[place] = one
    equal = {one.column for one in kept.values() if one.sign == "="}
    return tuple(sorted(one for one in kept.values() if one.sign != "≠" or one.column not in equal))


def _tighter(one: Condition, other: Condition) -> bool:
    if isinstance(one.value, str) or isinstance(other.value, str):
        return False
    return one.value > other.value if one.sign == ">" else one.value < other.value
