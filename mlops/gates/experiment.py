"""Whether a challenger is better than the live release by what came of their decisions, and whether that can be told.

It may be looked at as often as one likes (`statistics.effect`). Units, the entities by which requests are dealt out,
are what is compared: their requests are not independent. An experiment whose arms were not dealt as was meant, or whose
labels come to one arm and not to the other, tells nothing, however large the difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlops.statistics.effect import Arm, Difference, arm, difference, split_log_evidence
from mlops.verdict import Finding, Outcome

if TYPE_CHECKING:
    import pandas as pd

Better = Literal["lower", "higher"]
Said = Literal["promote", "stop", "go on", "insufficient"]

_SUSPICION = 0.001
"""Of experiments that were dealt as was meant, how many are called broken, at most."""

_ASTRAY = 0.05
"""Decisions of the release that was not drawn, beyond this share: the assignment does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What an experiment is to tell: whether `metric` of the challenger is better by `effect`, `better` which way.

    `level` is how many experiments without a difference may say there is one; `share` is the challenger's of units.
    """

    metric: str
    better: Better
    effect: float
    level: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The findings of a look, what they mean for the experiment, and the arms that were compared."""

    said: Said
    findings: tuple[Finding, ...]
    challenger: Arm
    live: Arm


def judged(rows: pd.DataFrame, question: Question, *, over: bool, subject: str) -> Judged:
    """What is known now; `over` where nothing more will come.

    `rows` has one mature decision each: `challenger` (bool: who answered), `drawn` (bool: who was drawn for its unit),
    `unit`, and `value`, missing where its label has not come. A decision of the release that was not drawn, as
    a worker that has just started gives it, is of no arm.
    """
    arms, assigned = _assigned(rows, question, subject)
    labelled = arms[arms["value"].notna()]
    challenger, live = _arm(labelled, "value", ours=True), _arm(labelled, "value", ours=False)
    told = difference(challenger, live, effect=question.effect, level=question.level)
    findings = (assigned, _labels(arms, subject), _effect(told, challenger, live, question, over=over, subject=subject))
    return Judged(said=_said(findings, over=over), findings=findings, challenger=challenger, live=live)


def _assigned(rows: pd.DataFrame, question: Question, subject: str) -> tuple[pd.DataFrame, Finding]:
    """The rows of the release that was drawn, and whether units were dealt as was meant."""
    astray = rows["challenger"] != rows["drawn"]
    kept = rows[~astray]
    numbers, _ = kept["unit"].factorize()
    asked = np.bincount(numbers)
    hers = np.bincount(numbers, weights=kept["challenger"].to_numpy(np.float64))
    dealt, total, lost = int((hers > 0).sum()), len(asked), int(astray.sum())
    odd = total > 0 and split_log_evidence(dealt, total, question.share) > math.log(1.0 / _SUSPICION)
    odd = odd or lost > _ASTRAY * len(rows)
    told = f"{dealt} of {total} units were the challenger's (meant: {question.share:.0%})" if total else "no unit yet"
    found = Finding(
        check="experiment.assignment",
        outcome=Outcome.FAIL if odd else Outcome.PASS if total else Outcome.INSUFFICIENT,
        subject=subject,
        message=told + (f"; {lost} of {len(rows)} decisions were not of the release that was drawn" if lost else ""),
        measured=dealt / total if total else None,
        threshold=question.share,
        n=total,
        next_step="find out why before anything is believed: who asks around the service, or drops answers of one arm?"
        if odd
        else "",
    )
    return kept, found


def _labels(arms: pd.DataFrame, subject: str) -> Finding:
    """Whether labels come to both arms alike."""
    known = arms.assign(known=arms["value"].notna().astype("float64"))
    ours, theirs = _arm(known, "known", ours=True), _arm(known, "known", ours=False)
    told = difference(ours, theirs, effect=0.05, level=_SUSPICION)
    apart = told is not None and not told.low <= 0.0 <= told.high
    none = not ours.n or not theirs.n
    return Finding(
        check="experiment.labels",
        outcome=Outcome.INSUFFICIENT if none else Outcome.FAIL if apart else Outcome.PASS,
        subject=subject,
        message="no decision of one arm is old enough"
        if none
        else f"{ours.mean:.1%} of the challenger's decisions have their label, {theirs.mean:.1%} of the live release's",
        measured=None if none else ours.mean,
        threshold=None if none else theirs.mean,
        n=ours.n + theirs.n,
        next_step="find out why labels of one arm are lost: what is missing is not missing by chance" if apart else "",
    )


def _effect(
    told: Difference | None, ours: Arm, theirs: Arm, question: Question, *, over: bool, subject: str
) -> Finding:
    more = "it is over: a new experiment needs more time, or a larger effect" if over else "let it go on"
    sizes = f"{ours.n} labels of {ours.units} units beside {theirs.n} of {theirs.units}"
    if told is None:
        return Finding(
            check="experiment.effect",
            outcome=Outcome.INSUFFICIENT,
            subject=subject,
            message=f"too few to compare: {sizes}",
            threshold=question.effect,
            n=ours.n,
            next_step=more,
        )
    gain = _gain(told, question.better)
    outcome, meaning = _meaning(gain, question.effect)
    return Finding(
        check="experiment.effect",
        outcome=outcome,
        subject=subject,
        message=f"{question.metric}: {ours.mean:.4g}, live {theirs.mean:.4g}; better by {gain[0]:.4g} "
        f"({gain[1]:.4g} to {gain[2]:.4g} at every look), {meaning}; {sizes}",
        measured=gain[0],
        threshold=question.effect,
        interval=(gain[1], gain[2]),
        n=ours.n,
        next_step=more if outcome is Outcome.INSUFFICIENT else "",
    )


def _gain(told: Difference, better: Better) -> tuple[float, float, float]:
    """The difference and its interval, turned so that more is better."""
    if better == "higher":
        return told.value, told.low, told.high
    return -told.value, -told.high, -told.low


def _meaning(gain: tuple[float, float, float], effect: float) -> tuple[Outcome, str]:
    _, low, high = gain
    if low > 0.0:
        return Outcome.PASS, "which is no chance"
    if high < 0.0:
        return Outcome.FAIL, "so it is worse"
    if high < effect:
        return Outcome.FAIL, f"so it is not better by {effect:.4g}"
    return Outcome.INSUFFICIENT, "which may be chance"


def _said(findings: tuple[Finding, ...], *, over: bool) -> Said:
    outcomes = {one.check: one.outcome for one in findings}
    if Outcome.FAIL in outcomes.values():
        return "stop"
    if set(outcomes.values()) == {Outcome.PASS}:
        return "promote"
    return "insufficient" if over else "go on"


def _arm(rows: pd.DataFrame, column: str, *, ours: bool) -> Arm:
    some = rows[rows["challenger"] == ours]
    units, _ = some["unit"].factorize()
    return arm(some[column].to_numpy(np.float64), np.asarray(units, dtype=np.int64))
