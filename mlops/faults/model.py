"""Answers of a model that has lost its mind, and a feature that tells the answer."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np

from mlops.contract import model_inputs
from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.faults.columns import SHARE
from mlops.gates import comparison, leakage
from mlops.gates import model as gate
from mlops.statistics.influence import Answers, measure, needs_probabilities
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd


def cases(bench: Bench) -> Generator[Case]:
    """Answers without sense, answers that are no numbers, a leak, and the model as it is."""
    contract, said, known = bench.contract, bench.answers, bench.known
    metric, classes = contract.metric, len(contract.classes)
    floor, margin = bench.settings.floor, bench.settings.margin
    if needs_probabilities(metric) and said.probabilities is None:
        return

    def judge_floor(answers: Answers, value: float | None) -> list[Finding]:
        return [gate.judge_floor(metric, measure(metric, answers), value, model=bench.model.family)]

    def judge_champion(challenger: Answers) -> list[Finding]:
        return [comparison.judge_champion(metric, challenger, said, margin=margin, release="the champion")]

    def judge_baseline(answers: Answers) -> list[Finding]:
        return [gate.judge_baseline(metric, answers, classes, known)]

    def judge_leakage(train: pd.DataFrame, holdout: pd.DataFrame) -> tuple[Finding, ...]:
        return leakage.judge_leakage(train, holdout, (known, said.actual), classes=classes)

    def judge_finite(answers: Answers) -> list[Finding]:
        return [gate.judge_finite(answers.predicted, answers.probabilities)]

    sides = model_inputs(bench.train, contract), bench.inputs
    told = sides[0].assign(__leak=known), sides[1].assign(__leak=said.actual)
    mad, half, broken = without_sense(said), without_sense(said, 0.5), not_numbers(said)
    where = f"[tool.mlops.models.{bench.model.family}]"
    yield Case(fault="no floor", check="model.floor", judge=lambda: judge_floor(said, None))
    yield Case(
        fault="shuffled answers",
        check="model.floor",
        judge=lambda: judge_floor(mad, floor),
        setting=f"{where} floor = {floor}",
    )
    yield Case(fault="shuffled answers", check="model.baseline", judge=lambda: judge_baseline(mad))
    yield Case(
        fault="half the answers shuffled",
        check="model.champion",
        judge=lambda: judge_champion(half),
        setting=f"{where} margin = {margin}",
    )
    yield Case(fault="NaN", check="model.finite", judge=lambda: judge_finite(broken))
    yield Case(fault="the answer as a feature", check="model.leakage", judge=lambda: judge_leakage(*told))
    yield sound(
        lambda: [
            *judge_floor(said, floor),
            *judge_baseline(said),
            *judge_champion(said),
            *judge_leakage(*sides),
            *judge_finite(said),
        ]
    )


def without_sense(answers: Answers, share: float = 1.0) -> Answers:
    """The answers of a model that has lost its mind: a share of the rows gets the answer of quite another row.

    Another one by its label, not by chance: a chance can be lucky on thirty rows.
    """
    rows = np.flatnonzero(np.random.default_rng(0).random(answers.actual.size) < share)
    rows = rows[np.argsort(answers.actual[rows], kind="stable")]
    order = np.arange(answers.actual.size)
    order[rows] = np.roll(rows, rows.size // 2)
    probabilities = None if answers.probabilities is None else answers.probabilities[order]
    return Answers(answers.actual, answers.predicted[order], probabilities)


def not_numbers(answers: Answers) -> Answers:
    """The answers with NaN in every tenth row."""
    rows = np.arange(answers.actual.size) % SHARE == 0
    probabilities = None
    if answers.probabilities is not None:
        probabilities = np.where(rows[:, None], np.nan, answers.probabilities)
    return Answers(answers.actual, np.where(rows, np.nan, answers.predicted), probabilities)
