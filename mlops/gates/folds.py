"""Judges a model by repeated cross-validation: floor, baseline and champion over the folds instead of one holdout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops.gates import comparison
from mlops.gates import model as gate
from mlops.statistics.influence import Answers, measure
from mlops.statistics.resampling import Plan, compare, estimate
from mlops.verdict import Finding, Outcome

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tested:
    """What the challenger, fitted anew for each fold of the plan, said of the fold's test rows.

    `known` are the labels, as codes or amounts, of each fold's training rows.
    """

    metric: str
    plan: Plan
    answers: Sequence[Answers]
    known: Sequence[Floats]

    @property
    def scores(self) -> Floats:
        """The metric on each fold; NaN where its rows do not define it."""
        return scores(self.metric, self.answers)


def scores(metric: str, answers: Sequence[Answers]) -> Floats:
    """The metric on each fold."""
    return np.array([measure(metric, one).value for one in answers])


def judge_floor(tested: Tested, floor: float | None, *, model: str) -> Finding:
    """Whether the mean over the folds reaches the project's floor."""
    return gate.judge_floor(tested.metric, estimate(_defined(tested.scores)[0], tested.plan), floor, model=model)


def judge_baseline(tested: Tested, classes: int) -> Finding:
    """Whether the model beats the best constant answer that the same training rows give."""
    constant = np.array(
        [
            gate.best_constant(tested.metric, one, classes, known).value
            for one, known in zip(tested.answers, tested.known, strict=True)
        ]
    )
    ours, theirs = _defined(tested.scores, constant)
    found = compare(ours, theirs, tested.plan, np.inf)
    mean = float(theirs.mean()) if theirs.size else float("nan")
    return gate.judge_against_constant(
        tested.metric, estimate(ours, tested.plan), found, constant=mean, classes=classes
    )


def judge_champion(tested: Tested, champion: Sequence[Answers], *, margin: float, release: str) -> Finding:
    """Whether the challenger is no worse than the champion, both fitted anew on the same folds."""
    ours, theirs = _defined(tested.scores, scores(tested.metric, champion))
    sides = estimate(ours, tested.plan), estimate(theirs, tested.plan)
    found = compare(ours, theirs, tested.plan, gate.tolerance(tested.metric, margin, sides[1].value))
    return comparison.judge_comparison(tested.metric, sides, found, margin=margin, release=release)


def _defined(*columns: Floats) -> list[Floats]:
    """The folds on which all are defined."""
    good = np.isfinite(np.column_stack(columns)).all(axis=1)
    return [column[good] for column in columns]


def not_tested(check: str, reason: str) -> Finding:
    """The model cannot be fitted anew on other rows, so cross-validation decides nothing."""
    return gate.finding(
        check,
        Outcome.INSUFFICIENT,
        f"cross-validation cannot judge the model: {reason}",
        next_step='return an estimator that can be cloned and fitted alone, or set evidence = "holdout"',
    )
