"""Judges a challenger beside the champion on the same rows: no worse than by the margin, worse, or too few rows."""

from __future__ import annotations

import math

from mlops.gates.model import SMALL_HOLDOUT, finding, tolerance
from mlops.statistics.comparison import compare
from mlops.statistics.influence import Answers, measure, needs_probabilities
from mlops.statistics.paired import Comparison, Estimate, held_out
from mlops.verdict import Finding, Outcome

_BY_A_PERSON = "let a person decide (`mlops override model.champion`)"

_OUTCOMES = {"not worse": Outcome.PASS, "worse": Outcome.FAIL, "insufficient": Outcome.INSUFFICIENT}


def judge_champion(metric: str, challenger: Answers, champion: Answers, *, margin: float, release: str) -> Finding:
    """Whether the challenger is no worse than the champion on the same held-out rows, by more than the margin."""
    if champion.probabilities is None and needs_probabilities(metric):
        step = "declare a metric that both can be judged by"
        message = f"{release} gives no probabilities, and {metric} needs them"
        return finding("champion", Outcome.NOT_RUN, message, next_step=step)
    ours, theirs = (held_out(measure(metric, side)) for side in (challenger, champion))
    found = compare(metric, challenger, champion, tolerance(metric, margin, theirs.value))
    return judge_comparison(metric, (ours, theirs), found, margin=margin, release=release)


def judge_comparison(
    metric: str, sides: tuple[Estimate, Estimate], found: Comparison, *, margin: float, release: str
) -> Finding:
    """The verdict over a comparison that was made; `sides` are what challenger and champion measured."""
    ours, theirs = sides
    allowed = tolerance(metric, margin, theirs.value)
    said = (
        f"{metric} {ours.value:.4f}, champion {release} {theirs.value:.4f} on the same {ours.n:,} rows: "
        f"difference {found.difference:+.4f} (90 %: {found.lower:+.4f} to {found.upper:+.4f}, {found.method}), "
        f"margin {allowed:.4g}"
    )
    return finding(
        "champion",
        _OUTCOMES[found.decision],
        f"{_undecided(found, allowed)}: {said}" if found.decision == "insufficient" else said,
        subject=release,
        measured=found.difference,
        interval=(found.lower, found.upper),
        threshold=-allowed,
        n=ours.n,
        next_step=_next_step(found, ours, metric, margin, allowed),
    )


def first_release() -> Finding:
    """The skip of the comparison where nothing serves yet."""
    return finding("champion", Outcome.SKIPPED, "first release: nothing to compare with")


def not_refitted(release: str, reason: str) -> Finding:
    """The champion cannot be fitted anew on other rows, so cross-validation cannot judge it."""
    return finding(
        "champion",
        Outcome.INSUFFICIENT,
        f"nothing can be compared with {release} by cross-validation: {reason}",
        subject=release,
        next_step='set evidence = "holdout" for this comparison, or ' + _BY_A_PERSON,
    )


def _undecided(found: Comparison, allowed: float) -> str:
    return "too close to the margin to decide" if _enough_rows(found, allowed) else "too few rows to decide"


def _enough_rows(found: Comparison, allowed: float) -> bool:
    """Whether these rows would pass a challenger that is as good as the champion."""
    return math.isfinite(found.smallest_margin) and found.smallest_margin <= allowed


def _next_step(found: Comparison, ours: Estimate, metric: str, margin: float, allowed: float) -> str:
    if found.decision == "not worse":
        return ""
    if found.decision == "worse":
        return "keep the champion; look at what the change took away"
    if not math.isfinite(found.smallest_margin) or not allowed:
        return f"hold out rows on which {metric} is defined"
    if _enough_rows(found, allowed):
        return f"these rows would pass a model as good as the champion: improve it, or {_BY_A_PERSON}"
    smallest = found.smallest_margin / allowed * margin
    few = not ours.resampled and ours.n < SMALL_HOLDOUT
    ways = ['set evidence = "cross-validation", which asks every row'] if few else []
    ways += ["collect more rows" if ours.resampled else "hold out more rows", "widen the margin with a reason"]
    said = f"these rows can decide a margin of {smallest:.3g}; a margin of {margin:g} takes {found.rows_needed:,} rows"
    return f"{said}: {', '.join(ways)}, or {_BY_A_PERSON}"
