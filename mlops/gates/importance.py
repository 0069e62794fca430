"""What a model's answers hang on, to be looked at: permutation importance and partial dependence.

Importance is how much the metric falls when a feature's values are shuffled among the held-out rows (Breiman 2001).
Partial dependence is the mean answer when a feature is set to a value in all rows (Friedman 2001), and its spread is
that of the single rows (ICE; Goldstein et al. 2015). Both are exhibits and no check: a feature that a model does not
use is no fault, and two that say the same look unimportant each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops.exhibits import Exhibit, Plot, Series
from mlops.statistics.influence import Answers, measure

if TYPE_CHECKING:
    import pandas as pd

REPEATS = 5
ROWS = 1_000
"""Held-out rows that are shuffled, at most; fewer where there are many features or the model is slow."""

SECONDS = 1.0
"""What the first call makes expect for all of them decides how many rows there are."""

_FEWEST = 100
_CALL_ROWS = 20_000
_MOST_FEATURES = 20
_DEPENDENCE_ROWS = 150
_TOP = 4
_GRID = 12
_VALUES = 8
_CLASSES = 4
_T = 2.776  # Student's t, 97.5 %, with REPEATS - 1 degrees of freedom
_GROUP = "Partial dependence"

Ask = Callable[["pd.DataFrame"], Answers]
"""From the model's inputs to its answers; their `actual` is not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """How much the metric falls without a feature: the mean over repeats, and its 95 % interval."""

    feature: str
    value: float
    low: float
    high: float


def permuted(
    metric: str, ask: Ask, inputs: pd.DataFrame, actual: NDArray[np.float64], *, seed: int
) -> list[Importance]:
    """The importance of each feature, greatest first; none where the metric is not defined on the rows."""
    import pandas as pd

    random = np.random.default_rng(seed)
    rows = _rows(ask, inputs, random)
    some, truth = inputs.iloc[rows].reset_index(drop=True), actual[rows]
    whole = _value(metric, ask(some), truth)
    if not np.isfinite(whole):
        return []
    found = []
    together = max(1, _CALL_ROWS // (REPEATS * len(some)))  # a call has a price of its own, however few its rows
    names = list(some.columns)
    for start in range(0, len(names), together):
        asked = names[start : start + together]
        said = ask(pd.concat([_shuffled(some, name, random) for name in asked], ignore_index=True))
        for place, name in enumerate(asked):
            parts = (_part(said, place * REPEATS + k, len(some)) for k in range(REPEATS))
            falls = np.array([whole - _value(metric, part, truth) for part in parts])
            if np.isfinite(falls).all():
                mean, width = float(falls.mean()), float(_T * falls.std(ddof=1) / np.sqrt(REPEATS))
                found.append(Importance(feature=str(name), value=mean, low=mean - width, high=mean + width))
    return sorted(found, key=lambda one: -one.value)


def _shuffled(some: pd.DataFrame, name: str, random: np.random.Generator) -> pd.DataFrame:
    """The rows as often as there are repeats, each time with the values of one column in another order."""
    import pandas as pd

    column = pd.concat([some[name].iloc[random.permutation(len(some))] for _ in range(REPEATS)])
    return pd.concat([some] * REPEATS, ignore_index=True).assign(**{name: column.to_numpy()})


def show(metric: str, important: Sequence[Importance], rows: int) -> tuple[Exhibit, ...]:
    """The importances as bars."""
    if not important:
        return ()
    top = important[:_MOST_FEATURES]
    unused = [one.feature for one in important if one.value == one.low == one.high == 0]
    more = f" The model does not read {', '.join(unused[:_VALUES])}." if unused else ""
    series = Series(
        name="fall",
        x=tuple(one.feature for one in top),
        y=tuple(one.value for one in top),
        low=tuple(one.low for one in top),
        high=tuple(one.high for one in top),
    )
    return (
        Plot(
            title="What the answers hang on",
            caption=(
                f"How much {metric} falls when a feature's values are shuffled among at most {min(rows, ROWS):,} "
                f"held-out rows, with 95 % intervals over {REPEATS} shuffles. Features that say the same share it."
                f"{more}"
            ),
            kind="bars",
            x_label="feature",
            y_label=f"fall of {metric}",
            series=(series,),
        ),
    )


def dependence(
    ask: Ask, inputs: pd.DataFrame, features: Sequence[str], classes: Sequence[Any], *, seed: int
) -> tuple[Exhibit, ...]:
    """How the mean answer follows the first few of `features`, with the spread over single rows."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(inputs))[:_DEPENDENCE_ROWS])
    some = inputs.iloc[rows].reset_index(drop=True)
    plots = [_dependence(ask, some, inputs[name], classes) for name in features[:_TOP]]
    return tuple(plot for plot in plots if plot is not None)


def _dependence(ask: Ask, some: pd.DataFrame, values: pd.Series, classes: Sequence[Any]) -> Plot | None:
    import pandas as pd

    name = str(values.name)
    grid = _grid(values)
    if len(grid) < 2:
        return None
    said = ask(pd.concat([some.assign(**{name: value}) for value in grid], ignore_index=True))
    shown = _shown(said, classes)
    if not shown:
        return None
    words = all(isinstance(value, str) for value in grid)
    series = [_series(label, grid, column.reshape(len(grid), len(some))) for label, column in shown.items()]
    said_of = f"probability of {next(iter(shown))}" if len(shown) == 1 and classes else "answer"
    return Plot(
        title=f"The answer by {name}",
        caption=f"The mean {said_of} when {name} is set to a value in {len(some)} rows; the band holds 80 % of them.",
        kind="bars" if words else "lines",
        x_label=name,
        y_label=said_of,
        series=tuple(series),
        group=_GROUP,
    )


def _series(label: str, grid: list[Any], answers: NDArray[np.float64]) -> Series:
    mean = answers.mean(axis=1)
    low, high = np.quantile(answers, [0.1, 0.9], axis=1)
    return Series(
        name=label,
        x=tuple(grid),
        y=tuple(mean.tolist()),
        low=tuple(np.minimum(low, mean).tolist()),  # a few large answers can lift the mean out of the band
        high=tuple(np.maximum(high, mean).tolist()),
    )


def _shown(said: Answers, classes: Sequence[Any]) -> dict[str, NDArray[np.float64]]:
    """The numbers to follow: the value, the positive class's probability, or each of a few classes'."""
    if not classes:
        return {"answer": said.predicted}
    if said.probabilities is None:
        return {}
    if len(classes) == 2:
        return {str(classes[1]): said.probabilities[:, 1]}
    return {str(name): said.probabilities[:, place] for place, name in enumerate(classes[:_CLASSES])}


def _grid(values: pd.Series) -> list[Any]:
    import pandas as pd

    known = values.dropna()
    if pd.api.types.is_numeric_dtype(known.dtype):
        return (
            [float(cut) for cut in np.unique(np.quantile(known, np.linspace(0.05, 0.95, _GRID)))] if len(known) else []
        )
    return [str(value) for value in known.value_counts().index[:_VALUES]]


def _rows(ask: Ask, inputs: pd.DataFrame, random: np.random.Generator) -> NDArray[np.intp]:
    """So many rows that all calls together take about `SECONDS`."""
    order = random.permutation(len(inputs))[:ROWS]
    started = time.perf_counter()
    ask(inputs.iloc[order])
    expected = (time.perf_counter() - started) * REPEATS * inputs.shape[1]
    fitting = int(len(order) * min(1.0, SECONDS / max(expected, 1e-9)))
    return np.sort(order[: max(fitting, _FEWEST)])


def _value(metric: str, said: Answers, truth: NDArray[np.float64]) -> float:
    return measure(metric, Answers(truth, said.predicted, said.probabilities)).value


def _part(said: Answers, place: int, size: int) -> Answers:
    rows = slice(place * size, (place + 1) * size)
    probabilities = None if said.probabilities is None else said.probabilities[rows]
    return Answers(said.predicted[rows], said.predicted[rows], probabilities)
