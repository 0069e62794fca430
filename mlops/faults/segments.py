"""A part of the rows in which the answers make no sense, declared or not, and a challenger that forgot it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops.faults.bench import Bench
from mlops.faults.case import Case, Reaction, sound
from mlops.gates import close_up, consistency, segments, weak_segments
from mlops.gates.parts import SEARCH_ROWS, measured_in
from mlops.statistics.influence import Answers, needs_probabilities
from mlops.statistics.slices import Condition
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

_WEAK = 0.3
"""The part's share of the rows, about."""


def cases(bench: Bench) -> Generator[Case]:
    """Answers without sense in one part of the rows: found, declared, and beside a champion that knows it."""
    said, metric = bench.answers, bench.contract.metric
    if needs_probabilities(metric) and said.probabilities is None:
        return
    part = _part(bench.inputs)
    if len(bench.inputs) < SEARCH_ROWS or part is None or measured_in(metric, said, part.holds(bench.inputs)) is None:
        return
    rows = part.holds(bench.inputs)
    broken = without_sense_in(said, rows)

    def judge_found(answers: Answers) -> tuple[Finding, ...]:
        return weak_segments.judge_weak(metric, answers, bench.inputs, seed=bench.seed)

    def judge_declared(answers: Answers) -> tuple[Finding, ...]:
        return segments.judge_segments(metric, answers, {part.column: bench.inputs[part.column]})

    def judge_consistency(challenger: Answers) -> tuple[Finding, ...]:
        return consistency.judge_consistency(
            metric,
            (challenger, said),
            bench.inputs,
            {},
            margin=bench.settings.margin,
            release=f"{bench.model.name} itself",
            seed=bench.seed,
        )

    fault = f"answers without sense where {part}"
    where = f"[tool.mlops.models.{bench.model.family}]"
    yield Case(fault=fault, check="model.weak-segment", judge=lambda: judge_found(broken), expected=Reaction.WARNS)
    yield Case(
        fault=f"{fault}, declared", check="model.segment", judge=lambda: judge_declared(broken), expected=Reaction.WARNS
    )
    yield Case(
        fault=f"a challenger that makes no sense where {part}",
        check="model.consistency",
        judge=lambda: judge_consistency(broken),
        expected=Reaction.WARNS,
        setting=f"{where} margin = {bench.settings.margin}",
    )
    held = close_up.HeldOut(
        model=bench.model,
        task=bench.contract.task,
        metric=metric,
        table=bench.holdout,
        inputs=bench.inputs,
        answers=said,
    )
    yield sound(
        lambda: [
            *segments.judge_segments(metric, said, held.declared),
            *judge_found(said),
            *judge_consistency(said),
        ]
    )


def without_sense_in(answers: Answers, rows: NDArray[np.bool_]) -> Answers:
    """The answers, but in some rows each is that of quite another of these rows, by its label."""
    places = np.flatnonzero(rows)
    by_label = places[np.argsort(answers.actual[places], kind="stable")]
    order = np.arange(answers.actual.size)
    order[by_label] = by_label[::-1]
    probabilities = None if answers.probabilities is None else answers.probabilities[order]
    return Answers(answers.actual, answers.predicted[order], probabilities)


def _part(inputs: pd.DataFrame) -> Condition | None:
    """A part that holds about a third of the rows, by one column; None where no column divides them."""
    import pandas as pd

    parts: list[tuple[float, Condition]] = []
    for name in inputs.columns:
        if pd.api.types.is_numeric_dtype(inputs[name].dtype):
            cut = inputs[name].quantile(1 - _WEAK)
            one = Condition(str(name), ">", float(f"{cut:.3g}")) if np.isfinite(cut) else None
        else:
            one = Condition(str(name), "=", str(inputs[name].astype(str).value_counts().index[0]))
        if one is not None:
            parts.append((abs(float(one.holds(inputs).mean()) - _WEAK), one))
    distance, nearest = min(parts, default=(1.0, None))
    return nearest if distance < _WEAK / 2 else None
