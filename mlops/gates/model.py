"""Judges a model's answers on held-out rows: good enough, better than a constant, no worse than the champion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops.declare import METRICS, Task
from mlops.statistics.influence import Answers, Measured, measure, needs_probabilities
from mlops.statistics.paired import Comparison, compare, interval
from mlops.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd

OVERFIT = 0.1
"""From this difference between training and held-out rows on, of a score or as a share of an error."""

TELLING = 0.998
"""A single feature that scores this much alone was written after the label (balanced accuracy, or R²).

An honest one comes close: the light in a room tells whether somebody is in it (occupancy: 0.996)."""

_LEAKAGE_ROWS = 20_000
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
        return _finding("finite", Outcome.PASS, f"all {bad.size:,} predictions are finite", n=bad.size)
    return _finding(
        "finite",
        Outcome.FAIL,
        f"{count:,} of {bad.size:,} predictions are not a number, or not a probability",
        n=bad.size,
        measured=count / bad.size,
        rows=tuple(int(row) for row in np.flatnonzero(bad)[:_SHOWN]),
        next_step="look at the rows named; impute missing inputs inside the pipeline",
    )


def judge_floor(metric: str, measured: Measured, floor: float | None, *, model: str) -> Finding:
    """Whether the metric reaches the project's floor; without a floor there is no pass."""
    low, high = interval(measured)
    high = min(high, 0.0 if metric.startswith("neg_") else 1.0)  # no metric goes beyond perfect
    n = measured.influence.size
    said = f"{metric} {measured.value:.4f} on {n:,} held-out rows (95 %: {low:.4f} to {high:.4f})"
    evidence: dict[str, Any] = {
        "measured": measured.value,
        "interval": (low, high),
        "n": n,
        "threshold": floor,
        "subject": metric,
    }
    if not math.isfinite(measured.value):
        step = "hold out rows of every class: raise holdout, or collect more rows"
        return _finding("floor", Outcome.NOT_RUN, f"{metric} is not defined on these rows", next_step=step, n=n)
    if floor is None:
        suggested = floor_below(low if math.isfinite(low) else measured.value)
        step = f"add to pyproject.toml: [tool.mlops.models.{model}] floor = {suggested:g}"
        return _finding("floor", Outcome.NOT_RUN, f"{said}; there is no floor", next_step=step, **evidence)
    if measured.value >= floor:
        return _finding("floor", Outcome.PASS, f"{said}, floor {floor:g}", **evidence)
    if not high >= floor:
        step = "improve the model or its features; lower the floor only with a reason"
        return _finding("floor", Outcome.FAIL, f"{said}, below the floor {floor:g}", next_step=step, **evidence)
    step = "hold out more rows, or improve the model; lower the floor only with a reason"
    message = f"{said}: below the floor {floor:g}, but these rows cannot tell by how much"
    return _finding("floor", Outcome.INSUFFICIENT, message, next_step=step, **evidence)


def floor_below(value: float) -> float:
    """A floor that is easy to read, at or below `value`."""
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1) if value else 1.0
    return float(f"{math.floor(value / unit) * unit:.6g}")


def judge_baseline(metric: str, answers: Answers, classes: int, labels: NDArray[np.float64]) -> Finding:
    """Whether the model beats the best constant answer, known from the training labels, on the same rows."""
    baseline = max((measure(metric, one) for one in constants(answers, classes, labels)), key=_value)
    measured = measure(metric, answers)
    found = compare(measured, baseline, margin=math.inf)
    what = "one class, or the classes' shares" if classes else "the mean"
    said = f"{metric} {measured.value:.4f}, and {baseline.value:.4f} by always answering {what}"
    evidence: dict[str, Any] = {"measured": found.difference, "interval": (found.lower, found.upper), "threshold": 0.0}
    n = measured.influence.size
    if found.lower > 0:
        return _finding("baseline", Outcome.PASS, said, n=n, **evidence)
    step = "the features say nothing of the label: look at them, at the join and at the label"
    if found.difference <= 0 or not math.isfinite(found.difference):
        return _finding("baseline", Outcome.FAIL, f"no better than a constant: {said}", n=n, next_step=step, **evidence)
    message = f"these {n:,} rows cannot tell the model from a constant: {said}"
    return _finding("baseline", Outcome.INSUFFICIENT, message, n=n, next_step="hold out more rows", **evidence)


def constants(answers: Answers, classes: int, labels: NDArray[np.float64]) -> list[Answers]:
    """What models say that ignore their inputs: the training labels' mean, or each class with the classes' shares."""
    n = answers.actual.size
    if not classes:
        return [Answers(answers.actual, np.full(n, labels.mean()))]
    shares = np.tile(np.bincount(labels.astype(int), minlength=classes) / labels.size, (n, 1))
    return [Answers(answers.actual, np.full(n, float(k)), shares) for k in range(classes)]


def _value(measured: Measured) -> float:
    return measured.value if math.isfinite(measured.value) else -math.inf


def judge_champion(metric: str, challenger: Answers, champion: Answers, *, margin: float, release: str) -> Finding:
    """Whether the challenger is no worse than the champion on the same rows, by more than the margin."""
    if champion.probabilities is None and needs_probabilities(metric):
        step = "declare a metric that both can be judged by"
        message = f"{release} gives no probabilities, and {metric} needs them"
        return _finding("champion", Outcome.NOT_RUN, message, next_step=step)
    ours, theirs = measure(metric, challenger), measure(metric, champion)
    allowed = tolerance(metric, margin, theirs.value)
    found = compare(ours, theirs, allowed)
    said = (
        f"{metric} {ours.value:.4f}, champion {release} {theirs.value:.4f} on the same {ours.influence.size:,} rows: "
        f"difference {found.difference:+.4f} (90 %: {found.lower:+.4f} to {found.upper:+.4f}), margin {allowed:.4g}"
    )
    outcome = {"not worse": Outcome.PASS, "worse": Outcome.FAIL, "insufficient": Outcome.INSUFFICIENT}[found.decision]
    return _finding(
        "champion",
        outcome,
        said if found.decision != "insufficient" else f"too few rows to decide: {said}",
        subject=release,
        measured=found.difference,
        interval=(found.lower, found.upper),
        threshold=-allowed,
        n=ours.influence.size,
        next_step=_after_comparison(found, metric, margin, allowed),
    )


def first_release() -> Finding:
    """The skip of the comparison where nothing serves yet."""
    return _finding("champion", Outcome.SKIPPED, "first release: nothing to compare with")


def judge_overfit(metric: str, train: Measured, holdout: Measured) -> Finding:
    """Whether the model knows its training rows much better than others."""
    gap = train.value - holdout.value
    allowed = tolerance(metric, OVERFIT, holdout.value)
    said = f"{metric} {train.value:.4f} on training rows, {holdout.value:.4f} on held-out rows"
    outcome = Outcome.FAIL if gap > allowed else Outcome.PASS
    return _finding(
        "overfit",
        outcome,
        said,
        severity=Severity.WARN,
        measured=gap,
        threshold=allowed,
        n=holdout.influence.size,
        next_step="try more regularisation, fewer features or more rows" if outcome is Outcome.FAIL else "",
    )


def judge_leakage(
    train: pd.DataFrame, holdout: pd.DataFrame, labels: tuple[NDArray[np.float64], NDArray[np.float64]], *, classes: int
) -> tuple[Finding, ...]:
    """Whether one feature alone tells the label: by a small tree on each, fitted on training, scored on held-out rows.

    `train` and `holdout` hold the model's inputs, `labels` their codes or amounts.
    """
    telling = {}
    for name in train.columns:
        score = _alone(train[name], holdout[name], labels, classes)
        if score >= TELLING:
            telling[name] = score
    n = len(holdout)
    if not telling:
        message = f"none of {train.shape[1]} features tells the label alone"
        return (_finding("leakage", Outcome.PASS, message, n=n, threshold=TELLING),)
    measure_name = "balanced accuracy" if classes else "R²"
    return tuple(
        _finding(
            "leakage",
            Outcome.FAIL,
            f"the feature {name!r} alone tells the label ({measure_name} {score:.4f} on held-out rows)",
            subject=name,
            measured=score,
            threshold=TELLING,
            n=n,
            next_step=f"leave {name!r} out, or build it from what is known at the time of the prediction",
        )
        for name, score in telling.items()
    )


def _after_comparison(found: Comparison, metric: str, margin: float, allowed: float) -> str:
    if found.decision == "not worse":
        return ""
    if found.decision == "worse":
        return "keep the champion; look at what the change took away"
    if not math.isfinite(found.smallest_margin) or not allowed:
        return f"hold out rows on which {metric} is defined"
    smallest = found.smallest_margin / allowed * margin
    return (
        f"these rows can decide a margin of {smallest:.3g}; a margin of {margin:g} takes {found.rows_needed:,} rows. "
        "Hold out more rows, widen the margin with a reason, or let a person decide"
    )


def _alone(
    train: pd.Series, holdout: pd.Series, labels: tuple[NDArray[np.float64], NDArray[np.float64]], classes: int
) -> float:
    from sklearn.metrics import balanced_accuracy_score, r2_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    first, second = _codes(train, holdout)
    x, y = first[:_LEAKAGE_ROWS], labels[0][:_LEAKAGE_ROWS]
    if len(np.unique(x)) < 2:
        return 0.0
    # Leaves hold a hundredth of the rows at least, so the tree cannot know rows by heart.
    least = max(2, min(20, len(x) // 100))
    if classes:
        # No class weights: an honest tree on a rare class stays with the frequent one, a leak does not.
        tree = DecisionTreeClassifier(max_leaf_nodes=max(8, 2 * classes), min_samples_leaf=least, random_state=0)
        return float(balanced_accuracy_score(labels[1], tree.fit(x, y).predict(second)))
    if len(labels[1]) < 2 or not np.ptp(labels[1]):
        return 0.0
    tree = DecisionTreeRegressor(max_leaf_nodes=256, min_samples_leaf=least, random_state=0)
    # A tree answers in steps; a line sees an amount that was only scaled.
    line = np.corrcoef(second[:, 0], labels[1])[0, 1] ** 2 if np.ptp(second) else 0.0
    return max(float(r2_score(labels[1], tree.fit(x, y).predict(second))), float(line))


def _codes(train: pd.Series, holdout: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(train.dtype):
        return _filled(train), _filled(holdout)
    words, _ = pd.factorize(pd.concat([train, holdout]).astype(str))
    both = words.astype(np.float64)[:, None]
    return both[: len(train)], both[len(train) :]


def _filled(values: pd.Series) -> NDArray[np.float64]:
    """A column as a matrix; missing values become one value far below."""
    numbers: NDArray[np.float64] = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=-1e30, posinf=1e30)
    return numbers[:, None]


def _finding(
    check: str, outcome: Outcome, message: str, *, severity: Severity = Severity.FAIL, **evidence: Any
) -> Finding:
    return Finding(check=f"model.{check}", outcome=outcome, message=message, severity=severity, **evidence)


def not_judged(problem: str, checks: Sequence[str]) -> tuple[Finding, ...]:
    """Checks that could not run, all for the same reason."""
    step = "mend that first, then run again"
    return tuple(_finding(check, Outcome.NOT_RUN, f"not judged: {problem}", next_step=step) for check in checks)
