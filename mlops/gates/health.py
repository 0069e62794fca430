"""Judges how a live release is served: it answers, its workers follow, few requests fail or wait, features are fresh.

Shares of requests fire where even the lower 99 % bound is above the limit, and pass where the upper one is below:
a handful of requests tells nothing, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops.verdict import Finding, Outcome, Severity

LEVEL = 0.99
SLOW = 0.01
"""The share of requests that may be slower than `[tool.mlops.load] p99_ms`: that is what a 99th percentile is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Requests since the last look: all, failed (5xx), refused (4xx but 401), and slower than `slow_ms`."""

    requests: int
    errors: int
    refused: int
    slow: int
    slow_ms: float
    since: str = ""  # in words: of which time they are


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One stored view that the live release reads: what is online of it. `expired` is None where nobody knows."""

    view: str
    published: bool
    age_seconds: float | None = None  # of its newest row
    expired: float | None = None  # share of the entities whose values are past their time to live
    ttl_seconds: float | None = None


def judge_ready(*, subject: str, running: bool, ready: bool, address: str) -> Finding:
    """Whether the service says that it is ready."""
    if running and ready:
        return _finding("ready", Outcome.PASS, f"{address or 'the service'} answers /readyz", subject=subject)
    message = "no worker runs" if not running else f"{address or 'the service'} does not answer /readyz with 200"
    step = "start it: `mlops serve ENV`, or `mlops rollback ENV` where the newest release does not start"
    return _finding("ready", Outcome.FAIL, message, subject=subject, next_step=step)


def no_service(subject: str) -> Finding:
    """The skip of all that needs a running service."""
    reason = "no service was ever started for it here: its answers are fetched by other means"
    step = "where one runs elsewhere, write its address: [tool.mlops.environments.ENV] url"
    return _finding("ready", Outcome.SKIPPED, reason, subject=subject, next_step=step)


def other_service(subject: str, url: str, release: str) -> Finding:
    """The skip where the address of an environment is that of another family's service."""
    reason = f"{url} serves {release}: nobody knows where {subject} is served"
    return _finding("ready", Outcome.SKIPPED, reason, subject=subject)


def unreachable(subject: str, *, said: str, next_step: str) -> Finding:
    """That a service elsewhere does not answer."""
    return _finding("ready", Outcome.FAIL, said, subject=subject, next_step=next_step)


def judge_elsewhere(*, subject: str, live: str, url: str, status: int, release: str) -> tuple[Finding, ...]:
    """Whether a service elsewhere is ready, and serves what is live; `release` is "" where it does not say."""
    if status != 200:
        step = "look into its log; `mlops rollback ENV` where the newest release does not start"
        message = f"{url}/readyz answers {status}"
        return (_finding("ready", Outcome.FAIL, message, subject=subject, next_step=step),)
    ready = _finding("ready", Outcome.PASS, f"{url} answers /readyz", subject=subject)
    if not release:
        unsaid = f"{url} does not say which release it serves"
        return ready, _finding("workers", Outcome.SKIPPED, unsaid, subject=subject)
    if release != live:
        step = "let the machine there take over what is live here, or deploy again: its service has not heard of it"
        message = f"{url} serves {release}, and live is {live}"
        return ready, _finding("workers", Outcome.FAIL, message, subject=subject, n=1, next_step=step)
    return ready, _finding("workers", Outcome.PASS, f"{url} serves {live}", subject=subject, n=1)


def judge_workers(
    *, subject: str, live: str, serving: Mapping[int, str], troubles: Mapping[int, str], wanted: int | None
) -> Finding:
    """Whether every worker serves the live release, and there are as many as were started."""
    step = "`mlops status` names the worker; `mlops rollback ENV` returns to what all of them can serve"
    wrong = [f"worker {pid}: {why}" for pid, why in troubles.items()]
    wrong += [f"worker {pid} serves {other}" for pid, other in serving.items() if other != live and pid not in troubles]
    if wanted is not None and len(serving) < wanted:
        wrong.append(f"{len(serving)} of {wanted} workers run")
    if wrong:
        return _finding("workers", Outcome.FAIL, "; ".join(wrong), subject=subject, n=len(serving), next_step=step)
    said = f"all {len(serving)} workers serve {live}" if len(serving) > 1 else f"the worker serves {live}"
    return _finding("workers", Outcome.PASS, said, subject=subject, n=len(serving))


def judge_traffic(traffic: Traffic, *, subject: str, errors: float, refusals: float) -> tuple[Finding, ...]:
    """Whether few enough requests failed, were refused, or waited longer than was promised."""
    when = f" {traffic.since}" if traffic.since else ""
    return (
        _share(
            "errors",
            (traffic.errors, traffic.requests, errors),
            f"requests failed{when}",
            subject,
            "read the service's log; `mlops rollback ENV` returns to the release before",
        ),
        _share(
            "refusals",
            (traffic.refused, traffic.requests, refusals),
            f"requests were refused (4xx){when}",
            subject,
            "a caller sends what the contract does not allow: compare GET /contract with what it sends",
        ),
        _share(
            "latency",
            (traffic.slow, traffic.requests, SLOW),
            f"requests took longer than {traffic.slow_ms:g} ms{when}",
            subject,
            "raise workers, or look for what changed: `mlops check-service` measures the release alone",
        ),
    )


def no_traffic(subject: str, reason: str) -> tuple[Finding, ...]:
    """That nothing is known of the requests, and why."""
    return tuple(
        _finding(name, Outcome.INSUFFICIENT, reason, subject=subject, severity=Severity.WARN)
        for name in ("errors", "refusals", "latency")
    )


def judge_stored(views: Sequence[Stored], *, subject: str, limit: float) -> tuple[Finding, ...]:
    """Whether what the release reads of the feature store is there, and not past its time to live."""
    if not views:
        return (_finding("features", Outcome.SKIPPED, "the live release reads no stored features", subject=subject),)
    return tuple(_stored(one, limit) for one in views)


def _stored(one: Stored, limit: float) -> Finding:
    step = "compute and publish what is new: `mlops materialize --to ENV`"
    if not one.published:
        message = f"{one.view} is not online, so every request reads nothing of it"
        return _finding("features", Outcome.FAIL, message, subject=one.view, next_step=step)
    age = "" if one.age_seconds is None else f", the newest row is {_span(one.age_seconds)} old"
    if one.ttl_seconds is None:
        reason = f"{one.view} has no time to live that its age could be judged by{age}"
        return _finding("features", Outcome.SKIPPED, reason, subject=one.view)
    if one.expired is None:
        reason = f"the store does not tell how many values of {one.view} are past their time to live{age}"
        return _finding("features", Outcome.SKIPPED, reason, subject=one.view)
    said = f"{one.expired:.0%} of the entities of {one.view} are past its time to live of {_span(one.ttl_seconds)}{age}"
    fired = one.expired > limit
    return _finding(
        "features",
        Outcome.FAIL if fired else Outcome.PASS,
        said,
        subject=one.view,
        measured=one.expired,
        threshold=limit,
        next_step=step if fired else "",
    )


def judge_disk(free: int, *, limit_gb: float, place: str) -> Finding:
    """Whether there is room for the logs and for another release."""
    fired = free < limit_gb * 1e9
    return _finding(
        "disk",
        Outcome.FAIL if fired else Outcome.PASS,
        f"{free / 1e9:.1f} GB are free at {place}",
        measured=round(free / 1e9, 3),
        threshold=limit_gb,
        next_step="free some space: a full disk ends the decision log and every deployment" if fired else "",
    )


def _share(check: str, counted: tuple[int, int, float], what: str, subject: str, step: str) -> Finding:
    """Whether a share of the requests is surely above its limit."""
    count, n, limit = counted
    low, high = _bounds(count, n)
    said = f"{count:,} of {n:,} {what}"
    evidence: dict[str, Any] = {"measured": count / n if n else None, "threshold": limit, "n": n, "subject": subject}
    if n:
        evidence["interval"] = (low, high)
    if n and low > limit:
        return _finding(check, Outcome.FAIL, said, next_step=step, **evidence)
    if n and (high <= limit or (count / n <= limit and n * limit >= 1)):
        return _finding(check, Outcome.PASS, said, **evidence)
    message = f"{said}: too few to tell whether the share is above {limit:.2%}"
    return _finding(check, Outcome.INSUFFICIENT, message, severity=Severity.WARN, **evidence)


def _bounds(count: int, n: int) -> tuple[float, float]:
    """One-sided bounds of a share, each at 99 % (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv

    low = float(betaincinv(count, n - count + 1, 1 - LEVEL)) if count else 0.0
    high = float(betaincinv(count + 1, n - count, LEVEL)) if count < n else 1.0
    return low, high


def _span(seconds: float) -> str:
    for unit, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def _finding(
    check: str, outcome: Outcome, message: str, *, severity: Severity = Severity.FAIL, **evidence: Any
) -> Finding:
    return Finding(check=f"monitor.{check}", outcome=outcome, severity=severity, message=message, **evidence)
