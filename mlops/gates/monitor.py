"""Judges a live release by what it meets: labels that have arrived, the inputs it is given, the answers it gives.

Labels decide where they have arrived. Inputs move with every season, and a model may well know the season; so where
labels cover the newest rows and the metric has held, a shift is told and asks for nothing. Without labels a shift is
the only word there is, and asks for a retrain. A decline asks for a retrain; a model below its floor stops, because
a person has to know. What these rows cannot tell is said, and is no pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mlops.gates.data import Ranking, judge_shifts
from mlops.release import Manifest
from mlops.statistics.decline import LEAST_ROWS, Decline, Level
from mlops.statistics.drift import EFFECT, Shift
from mlops.statistics.drift import LEAST_ROWS as LEAST_TO_COMPARE
from mlops.verdict import Finding, Outcome, Severity


def retrain(family: str) -> str:
    """The next step that trains anew."""
    return f"train anew: `mlops retrain {family} --because …`, which gates the challenger on today's data"


def judge_performance(
    metric: str, found: Decline, *, release: Manifest, rows: str, margin: float, floor: float | None, fewest: int
) -> tuple[Finding, ...]:
    """The metric on rows that came after the release's training, beside what it had when it was judged, and its floor.

    `rows` says in words which rows they are, `fewest` is the size of the rarest class (of all rows in a regression).
    """
    now, then = found.now, found.then
    low, high = now.interval
    said = (
        f"{metric} {now.value:.4f} on {now.n:,} {rows} (95 %: {low:.4f} to {high:.4f}), {then.value:.4f} when "
        f"{release.release} was judged: difference {found.difference:+.4f} (each bound 99 %: {found.lower:+.4f} to "
        f"{found.upper:+.4f})"
    )
    evidence: dict[str, Any] = {
        "subject": metric,
        "measured": found.difference,
        "interval": (found.lower, found.upper),
        "threshold": -margin,
        "n": now.n,
    }
    if fewest < LEAST_ROWS:
        few = f"{fewest:,} labelled rows{' of the rarest class' if fewest < now.n else ''}"
        message = f"{few} cannot tell, {LEAST_ROWS} can: {said}"
        return (_insufficient("performance", message, "wait for more labels", **evidence), _no_floor(message))
    below = judge_floor(metric, now, floor, rows=rows)
    if found.decision == "declined" or below.outcome is Outcome.FAIL:
        worse = "it is worse by more than the margin" if found.decision == "declined" else "it is below its floor"
        fired = _finding(
            "performance", Outcome.FAIL, f"{worse}: {said}", Severity.RETRAIN, retrain(release.family), **evidence
        )
        return (fired, _told(below))
    if found.decision == "held":
        return (_finding("performance", Outcome.PASS, said, Severity.RETRAIN, **evidence), below)
    step = "wait for more labels"
    if found.rows_needed:
        step += f": {found.rows_needed:,} rows in a window would tell ([tool.mlops.monitor] rows)"
    else:
        step = "look at it: the metric lies between the margin and the decline that is tolerated"
        step += f"; or {retrain(release.family)}"
    return (_insufficient("performance", f"these rows cannot tell: {said}", step, **evidence), below)


def no_performance(reason: str, next_step: str) -> tuple[Finding, ...]:
    """That there are no labels to judge by, and why."""
    return (_insufficient("performance", reason, next_step), _no_floor(reason))


def judge_floor(metric: str, now: Level, floor: float | None, *, rows: str) -> Finding:
    """Whether the metric on new rows is surely below the floor that the model promised."""
    low, high = now.interval
    said = f"{metric} {now.value:.4f} on {now.n:,} {rows} (95 %: {low:.4f} to {high:.4f})"
    evidence: dict[str, Any] = {"subject": metric, "measured": now.value, "interval": (low, high), "n": now.n}
    if floor is None:
        return _finding("floor", Outcome.SKIPPED, f"{said}; this model has no floor", **evidence)
    evidence["threshold"] = floor
    if not math.isfinite(now.value):
        return _insufficient("floor", f"{metric} is not defined on these rows", "wait for labels of every class")
    if now.value >= floor:
        return _finding("floor", Outcome.PASS, f"{said}, floor {floor:g}", **evidence)
    if high < floor:
        step = "retrain; until then ask whether answers this bad are better than none: `mlops rollback ENV`"
        return _finding("floor", Outcome.FAIL, f"{said}, below the floor {floor:g}", next_step=step, **evidence)
    message = f"{said}: below the floor {floor:g}, but these rows cannot tell by how much"
    return _insufficient("floor", message, "wait for more labels", **evidence)


def judge_drift(
    shifts: Sequence[Shift], *, release: Manifest, ranked: Ranking | None, held: bool, origin: str
) -> tuple[Finding, ...]:
    """What moved since the release was trained: it asks for a retrain, unless labels of these rows show that it held.

    `held` is whether they do, `origin` says in words which rows are meant.
    """
    if shifts and min(shift.n for shift in shifts) < LEAST_TO_COMPARE:
        n = min(shift.n for shift in shifts)
        message = f"{n:,} rows, of {origin} or of the training, cannot show drift; {LEAST_TO_COMPARE:,} can"
        return (_insufficient("drift", message, "wait for more rows", n=n, severity=Severity.WARN),)
    step = "look whether its feed is sound; labels say that the model bears it" if held else retrain(release.family)
    judged = judge_shifts(shifts, champion=release.release, ranked=ranked, next_step=step)
    severity = Severity.WARN if held else Severity.RETRAIN
    borne = "; labels of these rows say that the model bears it" if held else ""
    return tuple(
        replace(
            one,
            check="monitor.drift",
            severity=severity,
            message=one.message + (borne if one.outcome is Outcome.FAIL else f" ({origin})"),
        )
        for one in judged
    )


def no_drift(reason: str, next_step: str) -> tuple[Finding, ...]:
    """That there is nothing to compare, and why."""
    return (_insufficient("drift", reason, next_step, severity=Severity.WARN),)


def judge_predictions(shift: Shift | None, *, release: str, reason: str = "") -> Finding:
    """Whether the release answers otherwise than on the held-out rows by which it was judged."""
    if shift is None or shift.n < LEAST_TO_COMPARE:
        few = "" if shift is None else f"{shift.n:,} answers cannot show drift; {LEAST_TO_COMPARE:,} can"
        return _insufficient("predictions", reason or few, severity=Severity.WARN)
    evidence: dict[str, Any] = {"measured": shift.effect, "threshold": EFFECT, "n": shift.n, "interval": shift.interval}
    unit = "standard deviations" if shift.kind == "values" else "of the rows"
    said = f"the answers of {release} lie {shift.effect:.2f} {unit} from those to the rows by which it was judged"
    if shift.found:
        step = "labels tell whether the world moved or the model errs; look at what moved most"
        return _finding("predictions", Outcome.FAIL, said, Severity.WARN, step, **evidence)
    return _finding("predictions", Outcome.PASS, said, Severity.WARN, **evidence)


def judge_labels(
    shift: Shift | None, *, label: str, release: Manifest, unknown: int, examples: Sequence[str]
) -> Finding:
    """Whether what is to be predicted has moved; a label that the model cannot answer asks for a retrain."""
    if unknown:
        return _finding(
            "labels",
            Outcome.FAIL,
            f"{unknown:,} rows have a label that {release.release} never saw and cannot answer: {', '.join(examples)}",
            Severity.RETRAIN,
            retrain(release.family),
            subject=label,
            n=unknown,
        )
    if shift is None or shift.n < LEAST_TO_COMPARE:
        message = f"{0 if shift is None else shift.n:,} labels cannot show that {label} moved; {LEAST_TO_COMPARE:,} can"
        return _insufficient("labels", message, subject=label, severity=Severity.WARN)
    evidence: dict[str, Any] = {
        "subject": label,
        "measured": shift.effect,
        "threshold": EFFECT,
        "n": shift.n,
        "interval": shift.interval,
    }
    unit = "standard deviations" if shift.kind == "values" else "of the rows"
    said = f"the label {label!r} lies {shift.effect:.2f} {unit} from where it was when {release.release} was trained"
    if shift.found:
        step = "the metric tells whether the model follows; limits that people set on its answers may have to"
        return _finding("labels", Outcome.FAIL, said, Severity.WARN, step, **evidence)
    return _finding("labels", Outcome.PASS, said, Severity.WARN, **evidence)


def _told(below: Finding) -> Finding:
    """A floor that nobody can tell about stops nothing where a decline is sure: what is to be done is known."""
    return replace(below, severity=Severity.WARN) if below.outcome is Outcome.INSUFFICIENT else below


def _no_floor(reason: str) -> Finding:
    return _finding("floor", Outcome.SKIPPED, f"monitor.performance says why: {reason}")


def _insufficient(
    check: str, message: str, next_step: str = "", *, severity: Severity = Severity.FAIL, **evidence: Any
) -> Finding:
    return _finding(check, Outcome.INSUFFICIENT, message, severity, next_step, **evidence)


def _finding(
    check: str,
    outcome: Outcome,
    message: str,
    severity: Severity = Severity.FAIL,
    next_step: str = "",
    **evidence: Any,
) -> Finding:
    return Finding(
        check=f"monitor.{check}", outcome=outcome, message=message, severity=severity, next_step=next_step, **evidence
    )
