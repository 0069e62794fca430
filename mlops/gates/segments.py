"""Judges declared segments: in which of its values does a column hold rows that the model serves much worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from mlops.exhibits import Plot, Series
from mlops.gates.model import tolerance
from mlops.gates.parts import (
    LEVEL,
    SEGMENT_ROWS,
    WEAK_SEGMENT,
    Mask,
    evidence,
    finding,
    gap_of,
    measured_in,
    parts_of,
    said,
)
from mlops.statistics.influence import Answers
from mlops.statistics.paired import interval
from mlops.verdict import Finding, Outcome

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5


def judge_segments(metric: str, answers: Answers, segments: Mapping[str, pd.Series]) -> tuple[Finding, ...]:
    """For each declared column: a finding for each of its values that the model serves much worse, or one that passes.

    Intervals hold for all values of a column at once (Bonferroni).
    """
    return tuple(found for name, values in segments.items() for found in _judge_declared(metric, answers, name, values))


def show(metric: str, answers: Answers, segments: Mapping[str, pd.Series]) -> tuple[Plot, ...]:
    """The metric for each value of each declared column, with 95 % intervals, beside that of all rows."""
    everything = [(f"all {answers.actual.size:,} rows", np.ones(answers.actual.size, dtype=bool))]
    return tuple(
        plot
        for name, values in segments.items()
        if (plot := _plot(metric, answers, name, [*everything, *parts_of(name, values)]))
    )


def _plot(metric: str, answers: Answers, name: str, parts: list[tuple[str, Mask]]) -> Plot | None:
    measured = [(words, part) for words, rows in parts if (part := measured_in(metric, answers, rows))]
    if len(measured) < 2:
        return None
    bounds = [interval(part) for _, part in measured]
    series = Series(
        name=metric,
        x=tuple(words for words, _ in measured),
        y=tuple(part.value for _, part in measured),
        low=tuple(low for low, _ in bounds),
        high=tuple(high for _, high in bounds),
    )
    caption = f"{metric} for each value of {name} with {SEGMENT_ROWS} held-out rows or more, with 95 % intervals."
    return Plot(
        title=f"{metric} by {name}",
        caption=caption,
        kind="bars",
        x_label=name,
        y_label=metric,
        series=(series,),
        group="Segments",
    )


def _judge_declared(metric: str, answers: Answers, name: str, values: pd.Series) -> Iterator[Finding]:
    parts = parts_of(name, values)
    gaps = [(words, rows, gap_of(metric, answers, rows, 1 - LEVEL / max(len(parts), 1))) for words, rows in parts]
    judged = [(words, rows, gap) for words, rows, gap in gaps if gap is not None]
    small = len(parts) - len(judged)
    aside = f"; {small} {'value has' if small == 1 else 'values have'} too few rows" if small else ""
    if not judged:
        reason = f"no value of {name!r} has {SEGMENT_ROWS} held-out rows of every class"
        yield finding("segment", Outcome.SKIPPED, reason, subject=name)
        return
    weak = [one for one in judged if one[2].high < -tolerance(metric, WEAK_SEGMENT, one[2].elsewhere)]
    for words, rows, gap in sorted(weak, key=lambda one: one[2].difference)[:_SHOWN]:
        step = "look at these rows: missing features, too few examples, or another kind of case"
        message = f"{said(metric, words, gap)}{aside}"
        yield finding(
            "segment", Outcome.FAIL, message, subject=name, next_step=step, **evidence(metric, words, gap, rows)
        )
    if not weak:
        message = f"no value of {name!r} is served much worse than the rest ({len(judged)} judged{aside})"
        yield finding("segment", Outcome.PASS, message, subject=name, n=answers.actual.size)
