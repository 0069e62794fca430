"""Judges a model's answers: numbers, good enough, better than a constant, and as good on rows it has not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops.declare import METRICS, Task
from mlops.statistics.influence import Answers, Measured, measure, needs_probabilities
from mlops.statistics.paired import Comparison, Estimate, by_influence, held_out
from mlops.verdict import Finding, Outcome, Severity

OVERFIT = 0.1
"""From this difference between training and held-out rows on, of a score or as a share of an error."""

UNDERFIT = 0.05
"""A model that closes less than this of the way from a constant answer to perfection, on its own training rows."""

SMALL_HOLDOUT = 2_000
"""Below this many held-out rows, cross-validation is worth its time."""

_SHOWN = 5


def coded(
    labels: Any, values: Any, probabilities: NDArray[np.float64] | None, classes: Sequence[Any], order: Sequence[Any]
) -> Answers:
    """Labels and answers as codes in the order of `classes`; `order` is that of the probabilities' columns.

    A class that is not among `classes` becomes -1. Without classes they are amounts.
    """
    if not classes:
        return Answers(np.asarray(labels, dtype=np.float64), np.asarray(values, dtype=np.float64))
    codes = {value: float(code) for code, value in enumerate(classes)}
    both = [np.array([codes.get(v, -1.0) for v in np.asarray(column).tolist()]) for column in (labels, values)]
    if probabilities is not None and list(order) != list(classes):
        known = {value: position for position, value in enumerate(order)}
        nothing = np.zeros(len(probabilities))
        probabilities = np.column_stack([probabilities[:, known[v]] if v in known else nothing for v in classes])
    return Answers(both[0], both[1], probabilities)


def metrics(task: Task, answers: Answers) -> dict[str, float]:
    """Every metric that judges this task and that these answers define, in scikit-learn's names."""
    found = {}
    for name, tasks in METRICS.items():
        if task in tasks and (answers.probabilities is not None or not needs_probabilities(name)):
            value = measure(name, answers).value
            if math.isfinite(value):
                found[name] = value
    return found


def tolerance(metric: str, margin: float, reference: float) -> float:
    """The margin in the metric's own unit: errors (`neg_…`) have no scale of their own, so it is a share of them."""
    return margin * abs(reference) if metric.startswith("neg_") else margin


def judge_finite(predicted: NDArray[np.float64], probabilities: NDArray[np.float64] | None) -> Finding:
    """Whether every answer is a number, and every probability one."""
    bad = ~np.isfinite(predicted)
    if probabilities is not None:
        whole = np.abs(probabilities.sum(axis=1) - 1) < 1e-3
        bad |= ~np.isfinite(probabilities).all(axis=1) | ~whole
        bad |= (probabilities < -1e-9).any(axis=1) | (probabilities > 1 + 1e-9).any(axis=1)
    count = int(bad.sum())
    if not count:
        return finding("finite", Outcome.PASS, f"all {bad.size:,} predictions are finite", n=bad.size)
    return finding(
        "finite",
        Outcome.FAIL,
        f"{count:,} of {bad.size:,} predictions are not a number, or not a probability",
        n=bad.size,
        measured=count / bad.size,
        rows=tuple(int(row) for row in np.flatnonzero(bad)[:_SHOWN]),
        next_step="look at the rows named; impute missing inputs inside the pipeline",
    )


def judge_floor(metric: str, measured: Measured | Estimate, floor: float | None, *, model: str) -> Finding:
    """Whether the metric reaches the project's floor; without a floor there is no pass."""
    found = measured if isinstance(measured, Estimate) else held_out(measured)
    low, high = found.lower, min(found.upper, 0.0 if metric.startswith("neg_") else 1.0)  # none goes beyond perfect
    said = f"{metric} {found.value:.4f} on {found.n:,} {found.rows} (95 %: {low:.4f} to {high:.4f})"
    evidence: dict[str, Any] = {
        "measured": found.value,
        "interval": (low, high),
        "n": found.n,
        "threshold": floor,
        "subject": metric,
    }
    if not math.isfinite(found.value):
        step = "hold out rows of every class: raise holdout, or collect more rows"
        return finding("floor", Outcome.NOT_RUN, f"{metric} is not defined on these rows", next_step=step, n=found.n)
    if floor is None:
        suggested = floor_below(low if math.isfinite(low) else found.value)
        step = f"add to pyproject.toml: [tool.mlops.models.{model}] floor = {suggested:g}"
        return finding("floor", Outcome.NOT_RUN, f"{said}; there is no floor", next_step=step, **evidence)
    if found.value >= floor:
        return finding("floor", Outcome.PASS, f"{said}, floor {floor:g}", **evidence)
    if not high >= floor:
        step = "improve the model or its features; lower the floor only with a reason"
        return finding("floor", Outcome.FAIL, f"{said}, below the floor {floor:g}", next_step=step, **evidence)
    step = f"{more_rows(found)}, or improve the model; lower the floor only with a reason"
    message = f"{said}: below the floor {floor:g}, but these rows cannot tell by how much"
    return finding("floor", Outcome.INSUFFICIENT, message, next_step=step, **evidence)


def more_rows(found: Estimate) -> str:
    """What to do where the rows cannot decide: with few rows, each of them can be asked by cross-validation."""
    if found.resampled:
        return "collect more rows, or raise repeats"
    small = found.n < SMALL_HOLDOUT
    return "hold out more rows" + (', or set evidence = "cross-validation", which asks every row' if small else "")


def floor_below(value: float) -> float:
    """A floor that is easy to read, at or below `value`."""
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1) if value else 1.0
    return float(f"{math.floor(value / unit) * unit:.6g}")


def judge_baseline(metric: str, answers: Answers, classes: int, labels: NDArray[np.float64]) -> Finding:
    """Whether the model beats the best constant answer, known from the training labels, on the same rows."""
    baseline = best_constant(metric, answers, classes, labels)
    measured = measure(metric, answers)
    found = by_influence(measured, baseline, margin=math.inf)
    return judge_against_constant(metric, held_out(measured), found, constant=baseline.value, classes=classes)


def judge_against_constant(
    metric: str, measured: Estimate, found: Comparison, *, constant: float, classes: int
) -> Finding:
    """The verdict over the difference of a model and the best constant answer."""
    what = "one class, or the classes' shares" if classes else "the mean"
    where = f" on {measured.n:,} {measured.rows}" if measured.resampled else ""
    said = f"{metric} {measured.value:.4f}, and {constant:.4f} by always answering {what}{where}"
    evidence: dict[str, Any] = {
        "measured": found.difference,
        "interval": (found.lower, found.upper),
        "threshold": 0.0,
        "n": measured.n,
    }
    if found.lower > 0:
        return finding("baseline", Outcome.PASS, said, **evidence)
    step = "the features say nothing of the label: look at them, at the join and at the label"
    if found.difference <= 0 or not math.isfinite(found.difference):
        return finding("baseline", Outcome.FAIL, f"no better than a constant: {said}", next_step=step, **evidence)
    message = f"these {measured.n:,} rows cannot tell the model from a constant: {said}"
    return finding("baseline", Outcome.INSUFFICIENT, message, next_step=more_rows(measured), **evidence)


def best_constant(metric: str, answers: Answers, classes: int, labels: NDArray[np.float64]) -> Measured:
    """What the best constant answer, known from `labels`, scores on the rows of `answers`."""
    return max((measure(metric, one) for one in constants(answers, classes, labels)), key=_value)


def constants(answers: Answers, classes: int, labels: NDArray[np.float64]) -> list[Answers]:
    """What models say that ignore their inputs: the training labels' mean, or each class with the classes' shares."""
    n = answers.actual.size
    if not classes:
        return [Answers(answers.actual, np.full(n, labels.mean()))]
    shares = np.tile(np.bincount(labels.astype(int), minlength=classes) / labels.size, (n, 1))
    return [Answers(answers.actual, np.full(n, float(k)), shares) for k in range(classes)]


def _value(measured: Measured) -> float:
    return measured.value if math.isfinite(measured.value) else -math.inf


def judge_overfit(metric: str, train: Measured, holdout: Measured) -> Finding:
    """Whether the model knows its training rows much better than others."""
    gap = train.value - holdout.value
    allowed = tolerance(metric, OVERFIT, holdout.value)
    said = f"{metric} {train.value:.4f} on training rows, {holdout.value:.4f} on held-out rows"
    outcome = Outcome.FAIL if gap > allowed else Outcome.PASS
    return finding(
        "overfit",
        outcome,
        said if outcome is Outcome.PASS else f"it knows its training rows better than others: {said}",
        severity=Severity.WARN,
        measured=gap,
        threshold=allowed,
        n=holdout.influence.size,
        next_step="try more regularisation, fewer features or more rows" if outcome is Outcome.FAIL else "",
    )


def judge_underfit(metric: str, train: Answers, classes: int) -> Finding:
    """Whether the model has not even learnt its own training rows: barely better there than a constant answer."""
    measured, constant = measure(metric, train), best_constant(metric, train, classes, train.actual)
    perfect = 0.0 if metric.startswith("neg_") else 1.0
    room, gained = perfect - constant.value, measured.value - constant.value
    said = f"{metric} {measured.value:.4f} on its own training rows, {constant.value:.4f} by a constant answer"
    if not math.isfinite(gained) or room <= 0:
        reason = f"a constant answer is perfect or undefined on the training rows: {said}"
        return finding("underfit", Outcome.SKIPPED, reason, severity=Severity.WARN)
    share, n = gained / room, train.actual.size
    evidence: dict[str, Any] = {"severity": Severity.WARN, "measured": share, "threshold": UNDERFIT, "n": n}
    if share >= UNDERFIT:
        return finding("underfit", Outcome.PASS, said, **evidence)
    step = "try a model that can bend more, less regularisation, more iterations, or features that say more"
    message = f"it has hardly learnt anything ({share:.1%} of the way from a constant to perfection): {said}"
    return finding("underfit", Outcome.FAIL, message, next_step=step, **evidence)


def finding(
    check: str, outcome: Outcome, message: str, *, severity: Severity = Severity.FAIL, **evidence: Any
) -> Finding:
    """A finding of the model gate."""
    return Finding(check=f"model.{check}", outcome=outcome, message=message, severity=severity, **evidence)


def not_judged(problem: str, checks: Sequence[str]) -> tuple[Finding, ...]:
    """Checks that could not run, all for the same reason."""
    step = "mend that first, then run again"
    return tuple(finding(check, Outcome.NOT_RUN, f"not judged: {problem}", next_step=step) for check in checks)
