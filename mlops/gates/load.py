"""Whether a service under load is quick enough: held to what is declared, and to the release that serves now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlops.config import Load
from mlops.exhibits import Table
from mlops.statistics.blocks import Ratio
from mlops.verdict import Finding, Outcome

CHECKS = ("service.errors", "service.latency", "service.throughput", "service.memory", "service.champion")
_FIGURES = (
    ("requests", "{:,.0f}", "requests"),
    ("errors", "{:,.0f}", "unanswered or not 200"),
    ("qps", "{:,.4g}", "requests per second"),
    ("p50_ms", "{:,.3g}", "half within (ms)"),
    ("p95_ms", "{:,.3g}", "95 in 100 within (ms)"),
    ("p99_ms", "{:,.3g}", "99 in 100 within (ms)"),
    ("memory_mb", "{:,.0f}", "resident memory (MB)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """The release that serves now, under the same load in turn: its figures, and `slower`: ours over its mean latency.

    Where it could not be measured, `why` says so, and there is no `slower`.
    """

    release: str = ""
    figures: Mapping[str, float] | None = None
    slower: Ratio | None = None
    why: str = ""


def judge(measured: Mapping[str, float], beside: Beside, limits: Load, *, subject: str) -> tuple[Finding, ...]:
    """The load's `requests`, `errors`, `qps`, `mean_ms`, `p99_ms` and `memory_mb` against the limits.

    Told beside the champion's; one that is surely more than `slower` times as slow as it fails, and one of which that
    cannot be told is *insufficient*. A load without a request did not run.
    """
    if not measured["requests"]:
        return tuple(
            Finding(check=check, outcome=Outcome.NOT_RUN, subject=subject, message="no request was sent")
            for check in CHECKS
        )
    absolute = _Absolute(measured, beside.figures or {}, limits, subject)
    faster = "make the model or its on-demand features faster, or change {} in [tool.mlops.load]"
    return (
        absolute.finding(
            "service.errors",
            ("errors", "{:,.0f} unanswered or not 200"),
            0.0,
            good=measured["errors"] == 0,
            next_step="read the service's log: `mlops check-service` says where it is",
        ),
        absolute.finding(
            "service.latency",
            ("p99_ms", "99 in 100 within {:,.4g} ms"),
            limits.p99_ms,
            good=measured["p99_ms"] <= limits.p99_ms,
            next_step=faster.format("p99_ms"),
        ),
        absolute.finding(
            "service.throughput",
            ("qps", "{:,.4g} a second"),
            limits.qps,
            good=measured["qps"] >= limits.qps,
            next_step=faster.format("qps"),
        ),
        _memory(absolute),
        _champion(measured, beside, limits, subject),
    )


def table(measured: Mapping[str, float], beside: Beside) -> Table:
    """Both services' figures side by side."""
    theirs = beside.figures or {}
    rows = [
        (words, *(_figure(said, one[name]) if name in one else None for one in (measured, theirs) if one))
        for name, said, words in _FIGURES
        if name in measured
    ]
    columns = ("under load", "challenger", f"champion {beside.release}")
    return Table(
        title="Under load",
        caption=f"The challenger: {_sentence(beside.slower)} of the champion."
        if beside.slower
        else f"Not compared: {beside.why}.",
        columns=columns if theirs else columns[:2],
        rows=tuple(rows),
    )


@dataclass(frozen=True, slots=True)
class _Absolute:
    """What was measured of both, and the limits that were declared."""

    measured: Mapping[str, float]
    champion: Mapping[str, float]
    limits: Load
    subject: str

    def finding(self, check: str, said: tuple[str, str], limit: float, *, good: bool, next_step: str) -> Finding:
        """One figure against its limit, and beside the champion's; `said` is its name and how it reads."""
        name, words = said
        beside = f", the champion's {words.format(self.champion[name])}" if name in self.champion else ""
        return Finding(
            check=check,
            outcome=Outcome.PASS if good else Outcome.FAIL,
            subject=self.subject,
            message=f"{self.limits.connections} clients at once, {int(self.measured['requests']):,} requests: "
            f"{words.format(self.measured[name])}{beside}; limit {words.format(limit)}",
            measured=self.measured[name],
            threshold=limit,
            n=int(self.measured["requests"]),
            next_step="" if good else next_step,
        )


def _memory(absolute: _Absolute) -> Finding:
    used, limit = absolute.measured["memory_mb"], absolute.limits.memory_mb
    if limit is None:
        return Finding(
            check="service.memory",
            outcome=Outcome.SKIPPED,
            subject=absolute.subject,
            message=f"{used:,.0f} MB after the load; no limit is declared (memory_mb in [tool.mlops.load])",
            measured=used,
        )
    return absolute.finding(
        "service.memory",
        ("memory_mb", "{:,.0f} MB"),
        limit,
        good=used <= limit,
        next_step="make the model smaller, or change memory_mb in [tool.mlops.load]",
    )


def _champion(measured: Mapping[str, float], beside: Beside, limits: Load, subject: str) -> Finding:
    if beside.slower is None:
        return Finding(
            check="service.champion",
            outcome=Outcome.SKIPPED,
            subject=subject,
            message=beside.why or "the champion was not measured",
        )
    slower, mean = beside.slower, measured["mean_ms"]
    noticed = mean > limits.unnoticed_ms
    outcome = Outcome.PASS
    if noticed and slower.high > limits.slower:
        outcome = Outcome.FAIL if slower.low > limits.slower else Outcome.INSUFFICIENT
    unnoticed = "" if noticed else f", or up to {limits.unnoticed_ms:g} ms (it is {mean:.2g} ms)"
    return Finding(
        check="service.champion",
        outcome=outcome,
        subject=subject,
        message=f"{_sentence(slower)} of {beside.release}; limit {limits.slower:g} times{unnoticed}",
        measured=slower.value,
        threshold=limits.slower,
        n=slower.pairs,
        interval=(slower.low, slower.high),
        next_step=_NEXT.get(outcome, ""),
    )


_NEXT = {
    Outcome.FAIL: "make the model or its on-demand features faster; where it is worth its time: `mlops override "
    "service.champion`, or change slower in [tool.mlops.load]",
    Outcome.INSUFFICIENT: "run again when the machine has less to do, or measure longer: seconds in [tool.mlops.load]",
}


def _figure(said: str, value: float) -> str:
    """A figure as its form says; from 10,000 on in whole numbers, where `g` would write a power of ten."""
    return f"{value:,.0f}" if value >= 10_000 else said.format(value)


def _sentence(slower: Ratio) -> str:
    return (
        f"on average {slower.value:.2f} times the latency (interval {slower.low:.2f} to {slower.high:.2f}, "
        f"{slower.pairs} turns each)"
    )
