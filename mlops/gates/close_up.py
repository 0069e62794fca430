"""Looks at a model's answers close up: in segments, beside the champion's in each, and by protected group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.config import ModelSettings
from mlops.declare import Model, Task
from mlops.exhibits import Exhibit
from mlops.gates import fairness, importance, segments
from mlops.gates.consistency import judge_consistency
from mlops.gates.model import judge_finite
from mlops.gates.weak_segments import judge_weak
from mlops.statistics.influence import Answers, needs_probabilities
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The held-out rows: the whole table, the model's inputs of it, and the answers, all in the same order."""

    model: Model
    task: Task
    metric: str
    table: pd.DataFrame
    inputs: pd.DataFrame
    answers: Answers

    @property
    def declared(self) -> dict[str, pd.Series]:
        """The columns by whose values the metric is judged."""
        return {name: self.table[name] for name in self.model.segments}

    @property
    def protected(self) -> dict[str, pd.Series]:
        """The columns whose groups must be treated alike."""
        return {name: self.table[name] for name in self.model.protected}

    def problem(self) -> str:
        """Why the answers cannot be judged, "" where they can."""
        if judge_finite(self.answers.predicted, self.answers.probabilities).fired:
            return "its predictions are no numbers"
        if needs_probabilities(self.metric) and self.answers.probabilities is None:
            return f"{self.metric} needs probabilities, and the model gives none (no predict_proba)"
        return ""

    def searched(self) -> pd.DataFrame:
        """What weak segments are looked for in: the inputs, and the columns that the declaration names."""
        return self.inputs.assign(**{**self.declared, **self.protected})


def judge(held: HeldOut, settings: ModelSettings, *, seed: int) -> tuple[Finding, ...]:
    """Segments, declared and found, and fairness. The answers must be numbers, and the metric defined by them."""
    return (
        *segments.judge_segments(held.metric, held.answers, held.declared),
        *judge_weak(held.metric, held.answers, held.searched(), seed=seed),
        *fairness.judge_fairness(held.task, held.answers, held.protected, settings.fairness, model=held.model.family),
    )


def compare(
    held: HeldOut, champion: Answers, settings: ModelSettings, *, release: str, seed: int
) -> tuple[Finding, ...]:
    """Whether the model is worse than the champion in any segment."""
    return judge_consistency(
        held.metric,
        (held.answers, champion),
        held.searched(),
        held.declared,
        margin=settings.margin,
        release=release,
        seed=seed,
    )


def show(held: HeldOut, settings: ModelSettings) -> tuple[Exhibit, ...]:
    """The metric by segment, and rates by group."""
    return (
        *segments.show(held.metric, held.answers, held.declared),
        *fairness.show(held.task, held.answers, held.protected, settings.fairness),
    )


def explain(held: HeldOut, ask: importance.Ask, classes: Sequence[Any], *, seed: int) -> tuple[Exhibit, ...]:
    """What the answers hang on, and how they follow the features that matter most."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    with threadpool_limits(1):  # many small calls beside other steps: threads that wait for each other cost tenfold
        found = importance.permuted(held.metric, ask, held.inputs, held.answers.actual, seed=seed)
        top = [one.feature for one in found if one.value > 0]
        followed = importance.dependence(ask, held.inputs, top, classes, seed=seed)
    return (*importance.show(held.metric, found, len(held.inputs)), *followed)
