"""What a model's answers look like, beside the champion's: curves and tables for the report, out of answers alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mlops.declare import METRICS, Task
from mlops.exhibits import Exhibit, Plot, Series, Table
from mlops.statistics.calibration import bins_of, positive_chances
from mlops.statistics.comparison import compare
from mlops.statistics.influence import Answers, measure, needs_probabilities
from mlops.statistics.paired import interval

CHALLENGER = "challenger"
_POINTS = 101  # of a curve: what a screen can show
_CLOUD = 1_000  # points of a cloud
_BARS = 20
_MOST_CLASSES = 12

Floats = NDArray[np.float64]


def of_answers(task: Task, classes: Sequence[object], sides: Mapping[str, Answers]) -> list[Exhibit]:
    """The exhibits of one model's held-out rows.

    `sides` are the challenger's answers and, where one is live, the champion's, by name, the challenger first.
    """
    shown: list[Exhibit] = [metrics_table(task, sides)]
    answers = next(iter(sides.values()))
    if task == "regression":
        return [*shown, *_of_amounts(answers)]
    with_chances = {name: side for name, side in sides.items() if side.probabilities is not None}
    if task == "binary" and answers.probabilities is not None and np.unique(answers.actual).size == 2:
        shown += [roc(with_chances), precision_recall(with_chances)]
    if answers.probabilities is not None:
        shown += [reliability(with_chances), scores(answers, [str(name) for name in classes])]
    return [*shown, confusion(answers, [str(name) for name in classes])]


def metrics_table(task: Task, sides: Mapping[str, Answers]) -> Table:
    """Every metric of the task: each side with its 95 % interval, and their difference with its 90 % one."""
    both = list(sides.values())
    rows = [_metric_row(name, both) for name in METRICS if task in METRICS[name] and _defined(name, both[0])]
    columns = ["metric", "challenger", "from", "to"]
    if len(both) > 1:
        columns += ["champion", "from", "to", "difference", "from", "to"]
    n = both[0].actual.size
    against = f", beside the champion {list(sides)[1]}" if len(both) > 1 else ""
    return Table(
        title="Metrics",
        caption=f"Every metric of the task on {n:,} held-out rows{against}; greater is better.",
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _metric_row(name: str, sides: Sequence[Answers]) -> tuple[float | str | None, ...]:
    ours = measure(name, sides[0])
    row = [ours.value, *_possible(name, interval(ours))]
    if len(sides) > 1:
        if not _defined(name, sides[1]):
            return (name, *map(_number, row), *[None] * 6)
        theirs = measure(name, sides[1])
        found = compare(name, sides[0], sides[1], math.inf, permutations=0)
        row += [theirs.value, *_possible(name, interval(theirs)), found.difference, found.lower, found.upper]
    return (name, *map(_number, row))


def _possible(name: str, bounds: tuple[float, float]) -> tuple[float, float]:
    """The interval without what no model can reach: none is better than perfect."""
    return bounds[0], min(bounds[1], 0.0 if name.startswith("neg_") else 1.0)


def _defined(name: str, answers: Answers) -> bool:
    return answers.probabilities is not None or not needs_probabilities(name)


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


def roc(sides: Mapping[str, Answers]) -> Plot:
    """The share of positives found against the share of others taken for them."""
    return Plot(
        title="ROC",
        caption="How many positives are found, against how many others are taken for them; the diagonal is chance.",
        kind="lines",
        x_label="false positive rate",
        y_label="true positive rate",
        series=_lines(sides, _roc_points),
        diagonal=True,
        group="Curves",
    )


def precision_recall(sides: Mapping[str, Answers]) -> Plot:
    """The share of those found that are right, against the share of positives found."""
    answers = next(iter(sides.values()))
    share = float((answers.actual == 1).mean())
    return Plot(
        title="Precision and recall",
        caption=f"Of those called positive, how many are; by chance {share:.3g}.",
        kind="lines",
        x_label="recall",
        y_label="precision",
        series=_lines(sides, _precision_points),
        group="Curves",
    )


def reliability(sides: Mapping[str, Answers]) -> Plot:
    """What was said to be likely, against what happened; bins of equally many rows."""
    series = []
    for name, answers in sides.items():
        said, happened, sizes = bins_of(*positive_chances(answers))
        margin = 1.96 * np.sqrt(np.maximum(happened * (1 - happened), 0.25 / sizes) / sizes)
        low, high = np.clip(happened - margin, 0, 1), np.clip(happened + margin, 0, 1)
        series.append(Series(name=name, x=_short(said), y=_short(happened), low=_short(low), high=_short(high)))
    return Plot(
        title="Reliability",
        caption="What happened against what the probabilities said; on the diagonal they mean what they say.",
        kind="lines",
        x_label="predicted probability",
        y_label="share that came true",
        series=tuple(series),
        diagonal=True,
        group="Probabilities",
    )


def scores(answers: Answers, classes: Sequence[str]) -> Plot:
    """How the probabilities are spread, by the true class."""
    chances, _ = positive_chances(answers)
    edges = np.linspace(0, 1, _BARS + 1)
    centres = _short((edges[1:] + edges[:-1]) / 2)
    if len(classes) == 2:
        groups = {classes[k]: chances[answers.actual == k] for k in (0, 1)}
    else:
        right = answers.actual == answers.predicted
        groups = {"answered rightly": chances[right], "answered wrongly": chances[~right]}
    series = []
    for name, values in groups.items():
        counts = np.histogram(values, edges)[0] / max(values.size, 1)
        series.append(Series(name=name, x=centres, y=_short(counts)))
    return Plot(
        title="Distribution of the probabilities",
        caption="The further the classes lie apart, the better they are told apart.",
        kind="lines",
        x_label="predicted probability",
        y_label="share of the class's rows",
        series=tuple(series),
        group="Probabilities",
    )


def confusion(answers: Answers, classes: Sequence[str]) -> Table:
    """Rows by true class and by answer; with many classes the most frequent ones, the others in one line."""
    frequent = np.argsort(-np.bincount(answers.actual[answers.actual >= 0].astype(int), minlength=len(classes)))
    kept = sorted(int(k) for k in frequent[:_MOST_CLASSES])
    names = [classes[k] for k in kept]
    groups = {k: [k] for k in kept}
    if len(kept) < len(classes):
        names.append("others")
        groups[-1] = [k for k in range(len(classes)) if k not in groups] + [-1]
    members = list(groups.values())
    rows: list[tuple[float | str | None, ...]] = []
    for name, mine in zip(names, members, strict=True):
        true = np.isin(answers.actual, mine)
        counts = [int((true & np.isin(answers.predicted, theirs)).sum()) for theirs in members]
        rows.append((name, *map(float, counts), counts[members.index(mine)] / max(int(true.sum()), 1)))
    return Table(
        title="Confusion matrix",
        caption="One line per true class: how many of its rows got which answer, and the share of right ones.",
        columns=("true class", *(f"answered {name}" for name in names), "right"),
        rows=tuple(rows),
    )


def _of_amounts(answers: Answers) -> Iterable[Plot]:
    order = np.random.default_rng(0).permutation(answers.actual.size)[:_CLOUD]
    actual, said = answers.actual[order], answers.predicted[order]
    few = f"; {order.size:,} of {answers.actual.size:,} rows" if order.size < answers.actual.size else ""
    yield Plot(
        title="Predicted and actual",
        caption=f"On the diagonal every prediction is right{few}.",
        kind="points",
        x_label="actual",
        y_label="predicted",
        series=(Series(name=CHALLENGER, x=_short(actual), y=_short(said)),),
        diagonal=True,
        group="Errors",
    )
    yield Plot(
        title="Residuals",
        caption=f"Actual minus predicted: a slope or a funnel is something that the model does not know{few}.",
        kind="points",
        x_label="predicted",
        y_label="actual minus predicted",
        series=(Series(name=CHALLENGER, x=_short(said), y=_short(actual - said)),),
        group="Errors",
    )


def _lines(sides: Mapping[str, Answers], points: Callable[[Answers], tuple[Floats, Floats]]) -> tuple[Series, ...]:
    series = []
    for name, answers in sides.items():
        x, y = points(answers)
        series.append(Series(name=name, x=_short(x), y=_short(y)))
    return tuple(series)


def _roc_points(answers: Answers) -> tuple[Floats, Floats]:
    hits, misses = _cumulated(answers)
    grid = np.linspace(0, 1, _POINTS)
    return grid, np.interp(grid, misses / misses[-1], hits / hits[-1])


def _precision_points(answers: Answers) -> tuple[Floats, Floats]:
    hits, misses = _cumulated(answers)
    hits, misses = hits[1:], misses[1:]
    chosen = np.unique(np.searchsorted(hits / hits[-1], np.linspace(0, 1, _POINTS)).clip(max=hits.size - 1))
    return (hits / hits[-1])[chosen], (hits / (hits + misses))[chosen]


def _cumulated(answers: Answers) -> tuple[Floats, Floats]:
    """Positives and others at or above each distinct score, from 0 on, highest score first."""
    chances, positive = positive_chances(answers)
    order = np.argsort(-chances, kind="stable")
    ends = np.flatnonzero(np.diff(chances[order], append=-np.inf))
    hits = np.r_[0.0, np.cumsum(positive[order])[ends]]
    return hits, np.r_[0.0, ends + 1.0 - hits[1:]]


def _short(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in values)
