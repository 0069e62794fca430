"""Judges fairness: how much a rate differs between the groups of a protected column, against the project's limit.

The rates are fairlearn's (`fairlearn.metrics`: demographic parity compares selection rates, equal opportunity true
positive rates, equalized odds true and false positive rates), and the difference is its `between_groups` one: the
highest rate minus the lowest. It passes where even its upper bound keeps the limit, fails where even its lower bound
does not; a group too small to be judged, or an interval with the limit in it, is *insufficient*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops.config import Fairness
from mlops.declare import Task
from mlops.exhibits import Plot, Series
from mlops.gates.parts import Mask, first, parts_of
from mlops.statistics.influence import Answers
from mlops.verdict import Finding, Outcome

if TYPE_CHECKING:
    import pandas as pd

MEASURES: dict[str, tuple[Task, ...]] = {
    "selection_rate": ("binary",),
    "true_positive_rate": ("binary",),
    "false_positive_rate": ("binary",),
    "error": ("binary", "multiclass", "regression"),
}
"""What can be limited, and for which tasks. `error` is the share of wrong answers, or the mean absolute error as a
share of that over all rows."""

_SUGGESTED = 0.1
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class _Groups:
    """Rates of a measure by group: words, the rows, how many of them count, and the rate."""

    words: tuple[str, ...]
    rows: tuple[Mask, ...]
    counts: NDArray[np.float64]
    rates: NDArray[np.float64]
    spreads: NDArray[np.float64]
    shares: bool

    def bounds(self, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Each rate's two-sided interval: Wilson's (1927) for shares, Student's for means."""
        from scipy.special import ndtri, stdtrit

        n = np.maximum(self.counts, 1)
        if not self.shares:
            width = stdtrit(np.maximum(n - 1, 1), (1 + level) / 2) * self.spreads / np.sqrt(n)
            return self.rates - width, self.rates + width
        z = float(ndtri((1 + level) / 2))
        middle = (self.rates + z * z / (2 * n)) / (1 + z * z / n)
        width = z / (1 + z * z / n) * np.sqrt(self.rates * (1 - self.rates) / n + z * z / (4 * n * n))
        return middle - width, middle + width

    def only(self, kept: NDArray[np.bool_]) -> _Groups:
        """Some of the groups."""
        places = np.flatnonzero(kept)
        return _Groups(
            tuple(self.words[k] for k in places),
            tuple(self.rows[k] for k in places),
            self.counts[kept],
            self.rates[kept],
            self.spreads[kept],
            self.shares,
        )


@dataclass(frozen=True, slots=True)
class _Gap:
    """The largest difference between two groups, with its interval, and which two."""

    value: float
    low: float
    high: float
    highest: int
    lowest: int


def judge_fairness(
    task: Task, answers: Answers, protected: Mapping[str, pd.Series], limits: Fairness, *, model: str
) -> tuple[Finding, ...]:
    """For each protected column and each limit a finding; a column without any limit did not run, with the line to add.

    `model` is the family whose settings hold the limits.
    """
    return tuple(
        finding
        for name, values in protected.items()
        for finding in _judge_column(task, answers, (name, values), limits, model)
    )


def show(task: Task, answers: Answers, protected: Mapping[str, pd.Series], limits: Fairness) -> tuple[Plot, ...]:
    """Each rate by group with 95 % intervals, for groups with enough rows."""
    return tuple(
        plot
        for name, values in protected.items()
        for measure, tasks in MEASURES.items()
        if task in tasks and (plot := _plot(measure, name, _grouped(measure, answers, name, values), limits.rows))
    )


def _judge_column(
    task: Task, answers: Answers, column: tuple[str, pd.Series], limits: Fairness, model: str
) -> Iterator[Finding]:
    name, values = column
    asked = {measure: limit for measure in MEASURES if (limit := getattr(limits, measure)) is not None}
    if not asked:
        wanted = "true_positive_rate" if task == "binary" else "error"
        step = f"add to pyproject.toml: [tool.mlops.models.{model}] fairness = {{ {wanted} = {_SUGGESTED} }}"
        said = _rates(_grouped(wanted, answers, name, values))
        message = f"{name!r} is protected, but nothing says how much its groups may differ; {wanted}: {said}"
        yield _finding(Outcome.NOT_RUN, message, subject=name, next_step=step)
    for measure, limit in asked.items():
        if task in MEASURES[measure]:
            yield _judge(measure, limit, name, _grouped(measure, answers, name, values), limits.rows)
        else:
            fitting = ", ".join(one for one, tasks in MEASURES.items() if task in tasks)
            message = f"{measure} does not judge a {task} model"
            step = f"[tool.mlops.models.{model}] fairness: choose one of {fitting}"
            yield _finding(Outcome.NOT_RUN, message, subject=name, next_step=step)


def _judge(measure: str, limit: float, name: str, groups: _Groups, least: int) -> Finding:
    large = groups.counts >= least
    judged = groups.only(large)
    small = [
        f"{words} ({count:.0f})" for words, count in zip(groups.words, groups.counts, strict=True) if count < least
    ]
    if len(judged.words) < 2:
        message = f"{measure}: {len(judged.words)} groups of {name!r} have {least} rows that count; {_rates(groups)}"
        step = "hold out more rows of the small groups, or join groups that belong together"
        return _finding(Outcome.INSUFFICIENT, message, subject=name, threshold=limit, next_step=step)
    gap = _gap(judged)
    high, low = judged.words[gap.highest], judged.words[gap.lowest]
    evidence: dict[str, Any] = {
        "subject": name,
        "segment": f"{high} against {low}",
        "measured": gap.value,
        "interval": (gap.low, gap.high),
        "threshold": limit,
        "n": int(judged.counts.sum()),
    }
    said = (
        f"{measure} is {judged.rates[gap.highest]:.3f} where {high} and {judged.rates[gap.lowest]:.3f} where {low}: "
        f"difference {gap.value:.3f} (95 %: {gap.low:.3f} to {gap.high:.3f}), limit {limit:g}"
    )
    if gap.low > limit:
        step = f"look at the rows where {low} and where {high}: missing features, few examples, labels made by people"
        worst = judged.rows[gap.highest if measure in ("error", "false_positive_rate") else gap.lowest]
        return _finding(Outcome.FAIL, said, rows=first(np.flatnonzero(worst)), next_step=step, **evidence)
    if small:
        message = f"{said}; too few rows to judge: {', '.join(small)} of the {least} that it takes"
        step = "hold out more rows of these groups, or join groups that belong together; else a person decides"
        return _finding(Outcome.INSUFFICIENT, message, next_step=step, **evidence)
    if gap.high <= limit:
        return _finding(Outcome.PASS, said, **evidence)
    message = f"these rows cannot tell whether the groups keep the limit: {said}"
    return _finding(Outcome.INSUFFICIENT, message, next_step=_rows_needed(gap, limit, evidence["n"]), **evidence)


def _rows_needed(gap: _Gap, limit: float, n: int) -> str:
    width = gap.high - gap.value if gap.value < limit else gap.value - gap.low
    room = abs(limit - gap.value)
    if room < 1e-9 or not math.isfinite(width):
        return "the difference is as large as the limit: a person decides"
    needed = math.ceil(n * (width / room) ** 2)
    return f"about {needed:,} rows that count would tell; hold out more, or let a person decide"


def _gap(groups: _Groups) -> _Gap:
    """The widest difference of two rates, by intervals of the differences (Newcombe 1998, method 10).

    The lower bound is that of the surest pair, adjusted for the number of pairs (Bonferroni); the upper bound is
    that of the widest pair, which needs no adjustment, as every pair must keep the limit (Berger 1982).
    """
    pairs = list(permutations(range(len(groups.words)), 2))
    rates = groups.rates
    strict, plain = groups.bounds(1 - (1 - _LEVEL) / (len(pairs) / 2)), groups.bounds(_LEVEL)
    lows, highs = [], []
    for a, b in pairs:
        difference = rates[a] - rates[b]
        lows.append(difference - math.hypot(rates[a] - strict[0][a], strict[1][b] - rates[b]))
        highs.append(difference + math.hypot(plain[1][a] - rates[a], rates[b] - plain[0][b]))
    highest, lowest = int(rates.argmax()), int(rates.argmin())
    if highest == lowest:  # all alike
        highest, lowest = 0, 1
    return _Gap(float(rates.max() - rates.min()), float(max(0.0, *lows)), float(max(highs)), highest, lowest)


def _grouped(measure: str, answers: Answers, name: str, values: pd.Series) -> _Groups:
    parts = parts_of(name, values)
    rest = ~np.logical_or.reduce([rows for _, rows in parts]) if parts else np.ones(len(values), dtype=bool)
    if rest.any():
        parts = [*parts, (f"{name} is another value", rest)]
    counted = {"true_positive_rate": answers.actual == 1, "false_positive_rate": answers.actual == 0}.get(measure)
    counts = [float((rows if counted is None else rows & counted).sum()) for _, rows in parts]
    amounts = measure == "error" and not _classes(answers)
    errors = np.abs(answers.actual - answers.predicted)
    unit = float(errors.mean()) or 1.0 if amounts else 1.0
    spreads = [float(errors[rows].std(ddof=1)) / unit if rows.sum() > 1 else math.inf for _, rows in parts]
    return _Groups(
        tuple(words for words, _ in parts),
        tuple(rows for _, rows in parts),
        np.array(counts),
        _by_group(measure, answers, [rows for _, rows in parts]) / unit,
        np.array(spreads),
        not amounts,
    )


def _by_group(measure: str, answers: Answers, parts: list[Mask]) -> NDArray[np.float64]:
    """The value of fairlearn's metric for each part; 0 for one without rows."""
    rate = _metric(measure, answers)
    sides = ((answers.actual[rows], answers.predicted[rows]) for rows in parts)
    return np.array([float(rate(*side)) if side[0].size else 0.0 for side in sides])


def _metric(measure: str, answers: Answers) -> Callable[..., float]:
    from fairlearn import metrics
    from sklearn.metrics import mean_absolute_error, zero_one_loss

    if measure == "error":
        chosen: Callable[..., float] = zero_one_loss if _classes(answers) else mean_absolute_error
        return chosen
    rate: Callable[..., float] = getattr(metrics, measure)
    return partial(rate, pos_label=1)


def _classes(answers: Answers) -> bool:
    """Whether answers are codes of classes, not amounts."""
    if answers.probabilities is not None:
        return True
    return bool(
        (answers.actual == answers.actual.round()).all() and (answers.predicted == answers.predicted.round()).all()
    )


def _rates(groups: _Groups) -> str:
    return ", ".join(
        f"{words} {rate:.3f} of {count:.0f}"
        for words, rate, count in zip(groups.words, groups.rates, groups.counts, strict=True)
    )


def _plot(measure: str, name: str, groups: _Groups, least: int) -> Plot | None:
    judged = groups.only(groups.counts >= least)
    if not judged.words:
        return None
    low, high = judged.bounds(_LEVEL)
    series = Series(
        name=measure,
        x=judged.words,
        y=tuple(judged.rates.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )
    words = measure.replace("_", " ")
    return Plot(
        title=f"{words} by {name}",
        caption=f"The {words} of each group with {least} rows that count or more, with 95 % intervals.",
        kind="bars",
        x_label=name,
        y_label=words,
        series=(series,),
        group="Fairness",
    )


def _finding(outcome: Outcome, message: str, **evidence: Any) -> Finding:
    return Finding(check="model.fairness", outcome=outcome, message=message, **evidence)
