"""Parts of the held-out rows, and what a metric is inside of one and elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops.gates.model import tolerance
from mlops.statistics.influence import Answers, Measured, measure
from mlops.statistics.paired import interval
from mlops.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd

WEAK_SEGMENT = 0.1
"""So much lower a score is, or so large a share higher an error, in a segment that is served much worse."""

SEGMENT_ROWS = 50
"""A segment of fewer held-out rows is not judged."""

SEARCH_ROWS = 400
"""With fewer held-out rows nothing is looked for: one half finds, the other judges."""

LEVEL = 0.05
"""The chance of a false alarm, over all that is looked at together."""

TOLD = 3
"""So many segments that a search found are told, the surest first."""

_SEARCHED = 20_000
_EACH_CLASS = 10
_OF_CLASSES = ("roc_auc", "average_precision", "f1", "f1_macro", "balanced_accuracy")
_MOST_SEGMENTS = 20
_SHOWN = 5

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Gap:
    """A metric inside a segment and elsewhere, and the interval of the difference."""

    inside: float
    elsewhere: float
    low: float
    high: float
    n: int

    @property
    def difference(self) -> float:
        """Inside minus elsewhere."""
        return self.inside - self.elsewhere


def parts_of(name: str, values: pd.Series) -> list[tuple[str, Mask]]:
    """Each value of a column in words, with its rows; a column of many numbers is cut into quarters."""
    import pandas as pd

    numbers = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype)
    missing = [(f"{name} is missing", values.isna().to_numpy())] if values.isna().any() else []
    if numbers and values.nunique() > _MOST_SEGMENTS:
        cuts = [float(f"{cut:.3g}") for cut in np.unique(np.nanquantile(values.astype("float64"), [0.25, 0.5, 0.75]))]
        edges = [-math.inf, *dict.fromkeys(cuts), math.inf]
        column = values.astype("float64").to_numpy()
        return [
            (_between(name, low, high), (column > low) & (column <= high)) for low, high in pairwise(edges)
        ] + missing
    common = values.value_counts().index[:_MOST_SEGMENTS]
    plain = [(f"{name} = {_plain(value)!r}", _same(values, value)) for value in common]
    return plain + missing


def gap_of(metric: str, answers: Answers, rows: Mask, level: float) -> Gap | None:
    """The metric in some rows and in all others, with the interval at `level`; None where either is not defined."""
    inside, elsewhere = measured_in(metric, answers, rows), measured_in(metric, answers, ~rows)
    if inside is None or elsewhere is None:
        return None
    widths = [(high - low) / 2 for low, high in (interval(inside, level), interval(elsewhere, level))]
    width = math.hypot(*widths)  # two sets of rows: their variances add up
    difference = inside.value - elsewhere.value
    return Gap(inside.value, elsewhere.value, difference - width, difference + width, int(rows.sum()))


def measured_in(metric: str, answers: Answers, rows: Mask) -> Measured | None:
    """The metric over some rows; None where they are too few to say anything."""
    if rows.sum() < SEGMENT_ROWS:
        return None
    part = part_of(answers, rows)
    if metric in _OF_CLASSES:
        counts = np.unique(part.actual, return_counts=True)[1]
        if counts.size < 2 or (counts.size == 2 and counts.min() < _EACH_CLASS):
            return None
    found = measure(metric, part)
    return found if math.isfinite(found.value) else None


def part_of(answers: Answers, rows: NDArray[Any]) -> Answers:
    """The answers on some of the rows."""
    probabilities = None if answers.probabilities is None else answers.probabilities[rows]
    return Answers(answers.actual[rows], answers.predicted[rows], probabilities)


def loss_of(answers: Answers) -> NDArray[np.float64]:
    """Each row's Brier score; without probabilities whether it is wrong, or the size of the error."""
    if answers.probabilities is None:
        whole = bool(
            (answers.actual == np.round(answers.actual)).all()
            and (answers.predicted == np.round(answers.predicted)).all()
        )
        wrong = answers.actual != answers.predicted
        return wrong.astype(np.float64) if whole else np.abs(answers.actual - answers.predicted)
    truth = np.zeros_like(answers.probabilities)
    known = answers.actual >= 0
    truth[np.flatnonzero(known), answers.actual[known].astype(int)] = 1.0
    squares: NDArray[np.float64] = np.square(truth - answers.probabilities).sum(axis=1)
    return squares


def halves(n: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Two random halves of the rows, of at most `_SEARCHED` together, each in order."""
    order = np.random.default_rng(seed).permutation(n)[:_SEARCHED]
    return np.sort(order[::2]), np.sort(order[1::2])


def least_rows(n: int) -> int:
    """How many of n rows a segment has at least, for a search to look at it."""
    return max(SEGMENT_ROWS, n // 50)


def said(metric: str, words: str, gap: Gap) -> str:
    """The gap as a sentence's first half."""
    return (
        f"where {words}, {metric} is {gap.inside:.4f} on {gap.n:,} rows, and {gap.elsewhere:.4f} elsewhere: "
        f"difference {gap.difference:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})"
    )


def evidence(metric: str, words: str, gap: Gap, rows: Mask | None = None) -> dict[str, Any]:
    """The gap as a finding's fields."""
    return {
        "segment": words,
        "measured": gap.difference,
        "interval": (gap.low, gap.high),
        "threshold": -tolerance(metric, WEAK_SEGMENT, gap.elsewhere),
        "n": gap.n,
        "rows": () if rows is None else first(np.flatnonzero(rows)),
    }


def first(rows: Iterable[Any]) -> tuple[int, ...]:
    """The first few positions."""
    return tuple(int(row) for row, _ in zip(rows, range(_SHOWN), strict=False))


def finding(check: str, outcome: Outcome, message: str, **evidence: Any) -> Finding:
    """A finding of the model gate about segments, which are for a person to weigh."""
    return Finding(check=f"model.{check}", outcome=outcome, message=message, severity=Severity.WARN, **evidence)


def _between(name: str, low: float, high: float) -> str:
    if math.isinf(low):
        return f"{name} ≤ {high:g}"
    return f"{name} > {low:g}" if math.isinf(high) else f"{low:g} < {name} ≤ {high:g}"


def _same(values: pd.Series, value: Any) -> Mask:
    return np.asarray((values == value) & values.notna(), dtype=bool)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
