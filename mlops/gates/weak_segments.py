"""Finds weak segments that nobody declared: parts of the rows where a model is wrong and does not know it.

Every model is less sure in some region, and says so by its probabilities; that is no weakness. A weak segment has to
show more: the model errs more there than where it *gives the same answers*, and the metric is much lower.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops.gates.model import tolerance
from mlops.gates.parts import (
    LEVEL,
    SEARCH_ROWS,
    SEGMENT_ROWS,
    TOLD,
    WEAK_SEGMENT,
    Gap,
    Mask,
    evidence,
    finding,
    first,
    gap_of,
    halves,
    least_rows,
    loss_of,
    part_of,
    said,
)
from mlops.statistics import slices
from mlops.statistics.drift import holm
from mlops.statistics.influence import Answers
from mlops.verdict import Finding, Outcome

if TYPE_CHECKING:
    import pandas as pd


def judge_weak(metric: str, answers: Answers, table: pd.DataFrame, *, seed: int) -> tuple[Finding, ...]:
    """The weak segments that a search over one and two of `table`'s columns finds, or one finding that passes.

    One half of the rows finds candidates; the other judges them, with p values adjusted for their number (Holm).
    """
    n = len(table)
    if n < SEARCH_ROWS:
        reason = f"{n:,} held-out rows are too few to look for weak segments ({SEARCH_ROWS} at least)"
        return (finding("weak-segment", Outcome.SKIPPED, reason, n=n),)
    searched, judging = halves(n, seed)
    loss, groups = _surprise(part_of(answers, searched))
    found = slices.search(table.iloc[searched], slices.centred(loss, groups), least=least_rows(searched.size))
    rows, said = table.iloc[judging], part_of(answers, judging)
    weak = list(_weak(metric, said, [(part, part.holds(rows)) for part in found]))
    if not weak:
        message = (
            f"no part of the rows, cut by one or two of {table.shape[1]} columns, is served much worse than the rest "
            f"({len(found)} candidates from {searched.size:,} rows, judged on {judging.size:,} others)"
        )
        return (finding("weak-segment", Outcome.PASS, message, n=judging.size),)
    return tuple(
        _weak_finding(metric, part, gap, p, rows=judging[part.holds(rows)], columns=table.shape[1])
        for part, gap, p in weak
    )


def _weak(
    metric: str, answers: Answers, parts: list[tuple[slices.Slice, Mask]]
) -> Iterator[tuple[slices.Slice, Gap, float]]:
    """Those parts in which the model surely errs more than where it answers alike, and the metric is much lower."""
    loss, groups = _surprise(answers)
    large = [(part, rows) for part, rows in parts if min(rows.sum(), (~rows).sum()) >= SEGMENT_ROWS]
    if not large:
        return
    beyond = WEAK_SEGMENT * float(loss_of(answers).mean())
    p = holm(np.array([slices.excess(loss, rows, groups, beyond)[1] for _, rows in large]))
    told: list[Mask] = []
    for place in np.argsort(p, kind="stable"):
        part, rows = large[place]
        gap = gap_of(metric, answers, rows, 1 - LEVEL)
        if p[place] >= LEVEL or gap is None or len(told) == TOLD:
            continue
        again = any((rows & other).sum() > 0.5 * (rows | other).sum() for other in told)
        if not again and gap.difference < -tolerance(metric, WEAK_SEGMENT, gap.elsewhere):
            told.append(rows)
            yield part, gap, float(p[place])


def _weak_finding(
    metric: str, part: slices.Slice, gap: Gap, p: float, *, rows: NDArray[np.intp], columns: int
) -> Finding:
    message = (
        f"{said(metric, str(part), gap)}; it errs more there than where it gives the same answers "
        f"(p = {p:.2g} after Holm, on rows that the search over {columns} columns did not see)"
    )
    step = (
        "look at these rows: wrong labels, a missing feature, another kind of case; declare segments=[…] to watch them"
    )
    return finding(
        "weak-segment",
        Outcome.FAIL,
        message,
        next_step=step,
        **{**evidence(metric, str(part), gap), "rows": first(rows)},
    )


def _surprise(answers: Answers) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """What each row lost beyond what its probabilities promised, and groups of rows with like answers."""
    if answers.probabilities is None:
        return loss_of(answers), slices.alike(answers.predicted)
    promised = 1 - np.square(answers.probabilities).sum(axis=1)
    by = answers.probabilities[:, 1] if answers.probabilities.shape[1] == 2 else promised
    return loss_of(answers) - promised, slices.alike(by)
