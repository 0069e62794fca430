"""Answers that are wrong, worse, too sure or learnt by heart, and inputs that tell the answer."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np

from mlops.contract import model_inputs
from mlops.faults.bench import Bench
from mlops.faults.case import Case, Reaction, sound
from mlops.faults.columns import SHARE
from mlops.gates import calibration, comparison, leakage
from mlops.gates import model as gate
from mlops.statistics.influence import Answers, measure, needs_probabilities
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_CALIBRATION_ROWS = 1_000
"""Below this, labels drawn from the probabilities themselves can look uncalibrated by chance."""


def cases(bench: Bench) -> Generator[Case]:
    """Answers without sense, answers that are no numbers, a leak, and the model as it is; then how it was fitted."""
    if needs_probabilities(bench.contract.metric) and bench.answers.probabilities is None:
        return
    yield from _judged(bench)
    yield from _fitted(bench)
    yield from _calibrated(bench)
    yield from _identified(bench)


def _judged(bench: Bench) -> Generator[Case]:
    contract, said, known = bench.contract, bench.answers, bench.known
    metric, classes = contract.metric, len(contract.classes)
    floor, margin = bench.settings.floor, bench.settings.margin

    def judge_floor(answers: Answers, value: float | None) -> list[Finding]:
        return [gate.judge_floor(metric, measure(metric, answers), value, model=bench.model.family)]

    def judge_champion(challenger: Answers) -> list[Finding]:
        return [
            comparison.judge_champion(metric, challenger, said, margin=margin, release=f"{bench.model.name} itself")
        ]

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
        fault="shuffled answers, below the floor",
        check="model.floor",
        judge=lambda: judge_floor(mad, floor),
        setting=f"{where} floor = {floor}",
    )
    yield Case(fault="shuffled answers, beside a constant", check="model.baseline", judge=lambda: judge_baseline(mad))
    yield Case(
        fault="half the answers shuffled",
        check="model.champion",
        judge=lambda: judge_champion(half),
        setting=f"{where} margin = {margin}",
    )
    worse = worse_by(said, metric, gate.tolerance(metric, margin, measure(metric, said).value))
    if worse is not None:
        yield Case(fault="worse by the margin", check="model.champion", judge=lambda: judge_champion(worse))
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


def _fitted(bench: Bench) -> Generator[Case]:
    metric, classes, said = bench.contract.metric, len(bench.contract.classes), bench.answers
    known, right = bench.known, perfect(said, classes)
    lazy = gate.constants(said, classes, known)[0]

    def judge_overfit(holdout: Answers) -> list[Finding]:
        return [gate.judge_overfit(metric, measure(metric, right), measure(metric, holdout))]

    def judge_underfit(train: Answers) -> list[Finding]:
        return [gate.judge_underfit(metric, train, classes)]

    yield Case(
        fault="knows its own rows by heart, and no others",
        check="model.overfit",
        judge=lambda: judge_overfit(without_sense(said)),
        expected=Reaction.WARNS,
    )
    yield Case(
        fault="has learnt nothing",
        check="model.underfit",
        judge=lambda: judge_underfit(lazy),
        expected=Reaction.WARNS,
    )
    yield sound(lambda: [*judge_overfit(right), *judge_underfit(right)], "none (learnt, and not by heart)")


def _calibrated(bench: Bench) -> Generator[Case]:
    said, limit, family = bench.answers, bench.settings.calibration, bench.model.family
    if said.probabilities is None or said.actual.size < leakage.LEAST_ROWS:
        return

    def judge(answers: Answers) -> list[Finding]:
        return [calibration.judge_calibration(answers, limit, model=family)]

    yield Case(
        fault="sure of everything, and often wrong",
        check="model.calibration",
        judge=lambda: judge(too_sure(said)),
        expected=Reaction.WARNS if limit is None else Reaction.STOPS,
        setting="" if limit is None else f"[tool.mlops.models.{family}] calibration = {limit}",
    )
    if said.actual.size >= _CALIBRATION_ROWS:
        yield sound(lambda: judge(as_said(said, bench.seed)), "none (what happens is what was said)")


def _identified(bench: Bench) -> Generator[Case]:
    labels, classes = (bench.known, bench.answers.actual), len(bench.contract.classes)
    if min(labels[0].size, labels[1].size) < leakage.LEAST_ROWS:
        return
    noise, cut = np.random.default_rng(bench.seed), labels[0].size

    def judge(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[Finding, ...]:
        import pandas as pd

        train, holdout = (pd.DataFrame({"number": values}) for values in (first, second))
        return leakage.judge_identifiers(train, holdout, labels, classes=classes)

    order = np.argsort(np.lexsort((noise.random(cut + labels[1].size), np.concatenate(labels)))).astype(np.float64)
    yield Case(
        fault="a row number of a table sorted by the label",
        check="model.identifier",
        judge=lambda: judge(order[:cut], order[cut:]),
    )
    honest = noise.normal(size=order.size)
    yield sound(lambda: judge(honest[:cut], honest[cut:]), "none (an input like any other)")


def worse_by(answers: Answers, metric: str, margin: float) -> Answers | None:
    """The answers with so many of them exchanged that the metric is lower by the margin; None where it cannot be."""
    wanted = measure(metric, answers).value - margin
    for share in np.linspace(0.01, 1.0, 100):
        worse = without_sense(answers, float(share))
        if measure(metric, worse).value <= wanted:
            return worse
    return None


def perfect(answers: Answers, classes: int) -> Answers:
    """The answers of a model that knows every row."""
    if not classes:
        return Answers(answers.actual, answers.actual)
    known = np.maximum(answers.actual, 0).astype(int)
    return Answers(answers.actual, answers.actual, np.eye(classes)[known] * 0.998 + 0.002 / classes)


def too_sure(answers: Answers) -> Answers:
    """Answers that have nothing to do with the rows, each with a probability of nearly 1."""
    lost = without_sense(answers)
    if lost.probabilities is None:
        return lost
    chosen = np.roll(np.arange(lost.probabilities.shape[1]), 1)[answers.actual.astype(int)]
    chances = np.full(lost.probabilities.shape, 0.01 / (lost.probabilities.shape[1] - 1))
    chances[np.arange(chosen.size), chosen] = 0.99
    return Answers(answers.actual, chosen.astype(np.float64), chances)


def as_said(answers: Answers, seed: int) -> Answers:
    """The same probabilities, and labels that are drawn from them."""
    chances = answers.probabilities
    if chances is None:
        return answers
    drawn = np.random.default_rng(seed).random((chances.shape[0], 1))
    actual = (np.cumsum(chances, axis=1) < drawn).sum(axis=1).clip(max=chances.shape[1] - 1)
    return Answers(actual.astype(np.float64), answers.predicted, chances)


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
