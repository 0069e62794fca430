"""Whether a canary is worse than the live release beside it: failed and refused requests, latency, predictions.

It may be looked at as often as one likes (`statistics.sequential`): the chance that a canary as good as the live
release is called worse is at most `ALPHA` over all looks and all tests together. What the live release has to be
compared by, its slow answers and the ranges of its predictions, is taken from its first requests, which judge nothing.
No fault found in too few requests is no pass.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import msgspec

from mlops.serving.tally import Compared, Counts, latency_edge
from mlops.statistics.sequential import Evidence, Split
from mlops.verdict import Finding, Outcome, Severity

LEAST = 100
"""Requests of each arm below which nothing is promoted: with none failed, more than 3 % may fail still."""

ALPHA = 0.01
"""How many canaries as good as the live release may be rolled back, at most."""

SHARES: Mapping[str, float] = {
    "canary.errors": 0.4,
    "canary.refusals": 0.1,
    "canary.non-finite": 0.1,
    "canary.latency": 0.15,
    "canary.predictions": 0.25,
}
"""How ALPHA is split over the checks."""

_SLOWER = 2.0  # odds of a slow answer, twice those of the live release: beyond its p95 lie 9.5 % instead of 5 %
_OTHER = 4.0  # odds of a range of predictions: another model may differ, but not so
_UNSEEN_MS = 5.0  # nobody notices what is faster than this
_LABELS = 10  # the most common ones; the others are one
_QUANTILES = (0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """How slow the live release's slow answers are (latency bins), its labels, and ranges of its numbers (by bin)."""

    p95: int
    p99: int
    labels: tuple[str, ...]
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the looks so far have told; grows by `looked`."""

    canary: Counts = field(default_factory=Counts)
    live: Counts = field(default_factory=Counts)
    baseline: Baseline | None = None
    evidence: Mapping[str, Evidence] = field(default_factory=dict)


def looked(seen: Seen, canary: Counts, live: Counts) -> Seen:
    """After one look more at both arms' counts since the canary began."""
    splits = {
        f"canary.{name}": Split(
            hits=_more(canary, seen.canary, attribute),
            n=_more(canary, seen.canary, "requests"),
            theirs=_more(live, seen.live, attribute),
            beside=_more(live, seen.live, "requests"),
        )
        for name, attribute in (("errors", "errors"), ("refusals", "refused"), ("non-finite", "non_finite"))
    }
    baseline = seen.baseline
    if baseline is not None:
        ours, theirs = _groups(baseline, canary, seen.canary), _groups(baseline, live, seen.live)
        splits |= {
            name: Split(hits=hits, n=n, theirs=theirs[name][0], beside=theirs[name][1])
            for name, (hits, n) in ours.items()
        }
    elif sum(live.latency.values()) >= LEAST:
        baseline = _baseline(live)
    evidence = {name: seen.evidence.get(name, Evidence()).seen(split) for name, split in splits.items()}
    before = {name: told for name, told in seen.evidence.items() if name not in evidence}
    # Copies: the caller's counts go on growing.
    return Seen(canary=_copy(canary), live=_copy(live), baseline=baseline, evidence={**before, **evidence})


def rebased(seen: Seen, canary: Counts, live: Counts) -> Seen:
    """The same evidence, with looks from here on: while nothing was asked of the canary, nothing was compared."""
    return replace(seen, canary=_copy(canary), live=_copy(live))


def judged(seen: Seen, *, subject: str, died: int = 0) -> tuple[Finding, ...]:
    """What the looks say of each check now: worse, not worse, or too few requests to tell."""
    counted = (
        _more_often(seen, "canary.errors", "requests fail (5xx)", "read the service's log", subject),
        _more_often(seen, "canary.refusals", "requests are refused (4xx)", "compare both contracts", subject),
        _more_often(seen, "canary.non-finite", "answers are not finite", "look at what the model was asked", subject),
    )
    return *counted, _latency(seen, subject), _predictions(seen, subject), _workers(died, seen, subject)


def not_ready(reason: str, *, subject: str) -> tuple[Finding, ...]:
    """The findings where a worker could not hold the canary: it got no request, and nothing was compared."""
    return (
        Finding(
            check="canary.ready",
            outcome=Outcome.FAIL,
            subject=subject,
            message=f"it got no request, for it did not get ready: {reason}",
            next_step="mend the release (`mlops check-service` boots it alone), then deploy again",
        ),
    )


def compared(told: Compared, *, died: int, subject: str) -> tuple[Finding, ...]:
    """What a shadow's answers say beside the live release's, on the same requests; none to compare is no pass."""
    n, few = told.asked, told.asked < LEAST
    gone = f"; it missed {told.missed}, for which it was too slow" if told.missed else ""
    failures = Finding(
        check="canary.shadow",
        outcome=Outcome.FAIL if told.failed else Outcome.INSUFFICIENT if few else Outcome.PASS,
        subject=subject,
        message=f"it failed {told.failed} of {n} requests that the live release answered{gone}",
        measured=float(told.failed),
        threshold=0.0,
        n=n,
        next_step="read the service's log" if told.failed else "let it run for longer" if few else "",
    )
    answered = n - told.failed
    different = Finding(
        check="canary.difference",
        outcome=Outcome.INSUFFICIENT if not answered else Outcome.FAIL if told.different else Outcome.PASS,
        severity=Severity.WARN,
        subject=subject,
        message=f"{told.different} of {answered} predictions differ; numbers by {told.gaps / answered:.3g} on average, "
        f"{told.gap:.3g} at most"
        if answered
        else "no answer to compare",
        measured=told.different / answered if answered else None,
        n=answered,
        next_step="a person weighs whether they should" if told.different else "",
    )
    dead = f"{died} workers died" if died else "no worker died"
    workers = Finding(
        check="canary.workers",
        outcome=Outcome.FAIL if died else Outcome.PASS if n else Outcome.INSUFFICIENT,
        subject=subject,
        message=f"{dead} while the shadow was on",
        measured=float(died),
        threshold=0.0,
        n=n,
        next_step="read the service's log for why" if died else "",
    )
    return failures, different, workers


def _more_often(seen: Seen, check: str, what: str, step: str, subject: str) -> Finding:
    told = seen.evidence.get(check, Evidence())
    worse = told.p_value() < ALPHA * SHARES[check]
    return _finding(check, told, f"{_percent(told)} {what}", subject=subject, odds=1.0, worse=worse, step=step)


def _latency(seen: Seen, subject: str) -> Finding:
    check, names = "canary.latency", ("canary.latency p95", "canary.latency p99")
    told = min((seen.evidence.get(name, Evidence()) for name in names), key=lambda one: one.p_value(_SLOWER))
    if seen.baseline is None:
        return _finding(check, told, "latency", subject=subject, odds=_SLOWER, worse=False, step="")
    p95, p99 = (1000 * latency_edge(number) for number in (seen.baseline.p95, seen.baseline.p99))
    named, edge = ("p95", p95) if told is seen.evidence.get(names[0]) else ("p99", p99)
    what = f"{_percent(told)} answers take more than {edge:.3g} ms (live {named}, {_UNSEEN_MS:g} ms at least)"
    worse = told.p_value(_SLOWER) < ALPHA * SHARES[check] / len(names)
    step = "profile the model and its on-demand features"
    return _finding(check, told, what, subject=subject, odds=_SLOWER, worse=worse, step=step)


def _predictions(seen: Seen, subject: str) -> Finding:
    check = "canary.predictions"
    groups = {name: told for name, told in seen.evidence.items() if name.startswith(f"{check} ")}
    sides = {**groups, **{f"{name} (rarer)": told.mirrored for name, told in groups.items()}}
    if not sides:
        return _finding(check, Evidence(), "predictions", subject=subject, odds=_OTHER, worse=False, step="")
    chances = {name: told.p_value(_OTHER) for name, told in sides.items()}
    name = min(chances, key=lambda one: chances[one])
    told = groups[name.removesuffix(" (rarer)")]
    worse = chances[name] < ALPHA * SHARES[check] / len(sides)
    where = name.removesuffix(" (rarer)").removeprefix(f"{check} ")
    what = f"{_percent(told)} predictions are {where}"
    step = "compare both releases on the same requests: `mlops deploy ENV RELEASE --shadow`"
    return _finding(check, told, what, subject=subject, odds=_OTHER, worse=worse, step=step)


def _workers(died: int, seen: Seen, subject: str) -> Finding:
    return Finding(
        check="canary.workers",
        outcome=Outcome.FAIL if died else Outcome.PASS if seen.canary.requests else Outcome.INSUFFICIENT,
        subject=subject,
        message=f"{died} workers died while the canary was on" if died else "no worker died while the canary was on",
        measured=float(died),
        threshold=0.0,
        n=seen.canary.requests,
        next_step="read the service's log for why it ended" if died else "",
    )


def _finding(check: str, told: Evidence, what: str, *, subject: str, odds: float, worse: bool, step: str) -> Finding:
    few = min(told.n, told.beside) < LEAST
    outcome = Outcome.FAIL if worse else Outcome.INSUFFICIENT if few else Outcome.PASS
    interval = None
    if not told.n or not told.beside:
        message = f"no data to compare: {told.n} requests of the canary, {told.beside} of the live release"
    else:
        low, high = interval = told.interval()
        most = f"{high:.2f}" if high < 1e9 else "any"
        message = f"{what}, n {told.n} and {told.beside}; odds ratio {low:.2f} to {most} (95 % at every look)"
        if outcome is Outcome.INSUFFICIENT:
            message += f"; too few to tell, it takes {LEAST} of each"
    more = "let it run for longer: `mlops deploy ENV --resume --for 1h`, or give the canary a larger share"
    return Finding(
        check=check,
        outcome=outcome,
        subject=subject,
        message=message,
        measured=told.share if told.n else None,
        threshold=f"odds ratio at most {odds:g} at level {ALPHA * SHARES[check]:.2g}",
        n=told.n,
        interval=interval,
        next_step=step if outcome is Outcome.FAIL else more if outcome is Outcome.INSUFFICIENT else "",
    )


def _percent(told: Evidence) -> str:
    return f"{told.share:.2%} (live {told.share_beside:.2%}) of" if told.n and told.beside else "no"


def _baseline(live: Counts) -> Baseline:
    unseen = next(number for number in range(-60, 0) if 1000 * latency_edge(number) >= _UNSEEN_MS)
    labels = sorted(live.labels, key=lambda label: -live.labels[label])[:_LABELS]
    bins = sorted(live.numbers)
    edges = [bins[0] - 1, *(_quantile(live.numbers, share) for share in _QUANTILES)] if bins else []
    return Baseline(
        p95=max(_quantile(live.latency, 0.95), unseen),
        p99=max(_quantile(live.latency, 0.99), unseen),
        labels=tuple(labels),
        numbers=tuple(sorted(set(edges))),
    )


def _quantile(counts: Mapping[int, int], share: float) -> int:
    """The bin that `share` of what was counted stays within."""
    bins = sorted(counts)
    reached = list(accumulate(counts[number] for number in bins))
    return bins[bisect_left(reached, share * reached[-1] - 1e-9)]


def _groups(baseline: Baseline, now: Counts, before: Counts) -> dict[str, tuple[int, int]]:
    """Since the last look: how many answers were slow, and how many predictions in each range, and of how many."""
    slow, labels, numbers = (_since(getattr(now, n), getattr(before, n)) for n in ("latency", "labels", "numbers"))
    found = {
        f"canary.latency {name}": (sum(count for number, count in slow.items() if number > edge), sum(slow.values()))
        for name, edge in (("p95", baseline.p95), ("p99", baseline.p99))
    }
    said = sum(labels.values())
    if baseline.labels:
        known = {repr(label): labels.get(label, 0) for label in baseline.labels}
        known["a label that the live release had not given at first"] = said - sum(known.values())
        found |= {f"canary.predictions {label}": (count, said) for label, count in known.items()}
    if baseline.numbers:
        ranges = _ranges(baseline.numbers, numbers)
        found |= {f"canary.predictions {where}": (count, sum(numbers.values())) for where, count in ranges.items()}
    return found


def _ranges(edges: tuple[int, ...], numbers: Mapping[int, int]) -> dict[str, int]:
    """How many numbers are in each range of those that the live release gave at first, and beyond them."""
    placed = [0] * (len(edges) + 1)
    for number, count in numbers.items():
        placed[bisect_left(edges, number)] += count
    inside = [f"in part {place} of {len(edges) - 1} of the live release's range" for place in range(1, len(edges))]
    names = ["below the live release's range", *inside, "above the live release's range"]
    return dict(zip(names, placed, strict=True))


def _since(now: Mapping[Any, int], before: Mapping[Any, int]) -> dict[Any, int]:
    return {key: count - before.get(key, 0) for key, count in now.items()}


def _more(now: Counts, before: Counts, attribute: str) -> int:
    return int(getattr(now, attribute)) - int(getattr(before, attribute))


def _copy(counts: Counts) -> Counts:
    return msgspec.convert(msgspec.to_builtins(counts, str_keys=True), Counts, strict=False)
