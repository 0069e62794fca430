"""Judges consistency: a challenger that is no worse overall may be worse than the champion for some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mlops.gates.model import tolerance
from mlops.gates.parts import (
    LEVEL,
    SEARCH_ROWS,
    SEGMENT_ROWS,
    TOLD,
    Gap,
    Mask,
    finding,
    first,
    halves,
    least_rows,
    loss_of,
    measured_in,
    part_of,
    parts_of,
)
from mlops.statistics import slices
from mlops.statistics.drift import holm
from mlops.statistics.influence import Answers, Measured
from mlops.statistics.paired import interval
from mlops.verdict import Finding, Outcome

if TYPE_CHECKING:
    import pandas as pd


def judge_consistency(
    metric: str,
    answers: tuple[Answers, Answers],
    table: pd.DataFrame,
    segments: Mapping[str, pd.Series],
    *,
    margin: float,
    release: str,
    seed: int,
) -> tuple[Finding, ...]:
    """The segments in which the challenger is surely worse than the champion by more than the margin, or one pass.

    `answers` are the challenger's and the champion's on the same rows. Declared segments are judged on all rows;
    others are looked for on one half and judged on the other; p values are adjusted for all of them (Holm). Where the
    challenger is worse on the whole, which model.champion says, only segments count that are worse by still more.
    """
    challenger, champion = answers
    n = len(table)
    parts = [(words, rows) for name, values in segments.items() for words, rows in parts_of(name, values)]
    if n >= SEARCH_ROWS:
        searched, judging = halves(n, seed)
        worse = loss_of(part_of(challenger, searched)) - loss_of(part_of(champion, searched))
        on_judging = np.isin(np.arange(n), judging)
        found = slices.search(table.iloc[searched], worse, least=least_rows(searched.size))
        parts += [(str(part), part.holds(table) & on_judging) for part in found]
    compared = [(words, rows, gap) for words, rows in parts if (gap := _paired(metric, challenger, champion, rows))]
    if not compared:
        reason = f"no segment has {SEGMENT_ROWS} held-out rows of every class"
        return (finding("consistency", Outcome.SKIPPED, reason, subject=release, n=n),)
    whole = _paired(metric, challenger, champion, np.ones(n, dtype=bool))
    lost = max(0.0, -whole.difference) if whole is not None else 0.0
    p = holm(np.array([_worse_by(gap, tolerance(metric, margin, gap.elsewhere) + lost) for _, _, gap in compared]))
    fired = sorted((one for one in zip(p, compared, strict=True) if one[0] < LEVEL), key=lambda one: one[0])
    if not fired:
        message = (
            f"in none of {len(compared)} segments is {metric} surely worse than {release}'s by more than the margin"
        )
        return (finding("consistency", Outcome.PASS, message, subject=release, n=n, threshold=-margin),)
    return tuple(
        finding(
            "consistency",
            Outcome.FAIL,
            f"where {words}, {metric} is {gap.inside:.4f} and {release}'s {gap.elsewhere:.4f} "
            f"on the same {gap.n:,} rows: difference {gap.difference:+.4f} (95 %: {gap.low:+.4f} to {gap.high:+.4f})",
            subject=release,
            segment=words,
            measured=gap.difference,
            interval=(gap.low, gap.high),
            threshold=-tolerance(metric, margin, gap.elsewhere) - lost,
            n=gap.n,
            rows=first(np.flatnonzero(rows)),
            next_step="look at what the change took away from these rows before it replaces the champion",
        )
        for _, (words, rows, gap) in fired[:TOLD]
    )


def _paired(metric: str, challenger: Answers, champion: Answers, rows: Mask) -> Gap | None:
    ours, theirs = measured_in(metric, challenger, rows), measured_in(metric, champion, rows)
    if ours is None or theirs is None:
        return None
    both = Measured(ours.value - theirs.value, ours.influence - theirs.influence)
    low, high = interval(both)
    return Gap(ours.value, theirs.value, low, high, int(rows.sum()))


def _worse_by(gap: Gap, margin: float) -> float:
    """The one-sided p value of "worse by no more than the margin"."""
    from scipy.special import ndtr

    error = (gap.high - gap.low) / 2 / 1.96
    return float(ndtr((gap.difference + margin) / error)) if error > 0 else float(gap.difference >= -margin)
