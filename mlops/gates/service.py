"""Whether a packaged model serves: it boots, answers its golden requests, refuses bad ones, and bears a load."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mlops.config import Load
from mlops.verdict import Finding, Outcome

CHECKS = (
    "service.boot",
    "service.golden",
    "service.malformed",
    "service.errors",
    "service.latency",
    "service.throughput",
)


_EXCEPTION = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*[a-z]\w*:\s+\S")


def did_not_boot(reason: str, last_lines: str, *, subject: str) -> tuple[Finding, ...]:
    """The findings where nothing could be asked: the boot failed, and all else did not run."""
    lines = [line for line in last_lines.splitlines() if line.strip()]
    said = f": {_cause(lines)}" if lines else "; it said nothing"
    boot = Finding(
        check="service.boot",
        outcome=Outcome.FAIL,
        subject=subject,
        message=f"{reason}{said}",
        measured="not ready",
        threshold="ready",
        next_step="start it by hand and read on: `bentoml serve` in the bento's folder",
        detail="\n".join(lines),
    )
    rest = (
        Finding(check=check, outcome=Outcome.NOT_RUN, subject=subject, message="the service did not boot")
        for check in CHECKS[1:]
    )
    return boot, *rest


def _cause(lines: list[str]) -> str:
    """The last line that names an exception: advice may follow it; else the last line."""
    return next((line for line in reversed(lines) if _EXCEPTION.match(line)), lines[-1]).strip()


def booted(seconds: float, *, limit: float, subject: str) -> Finding:
    """The service was ready in time."""
    return Finding(
        check="service.boot",
        outcome=Outcome.PASS,
        subject=subject,
        message=f"ready after {seconds:.1f} s",
        measured=seconds,
        threshold=limit,
        n=1,
    )


def golden(wrong: Sequence[str], *, n: int, subject: str) -> Finding:
    """The golden requests are answered as when the model was packaged; none to ask is not a pass."""
    if n == 0:
        return Finding(
            check="service.golden",
            outcome=Outcome.NOT_RUN,
            subject=subject,
            message="the release has no golden request",
            next_step="set [tool.mlops.package] golden to 1 or more, then package again",
        )
    return Finding(
        check="service.golden",
        outcome=Outcome.FAIL if wrong else Outcome.PASS,
        subject=subject,
        message=f"{len(wrong)} of {n} golden requests are answered otherwise: {wrong[0]}"
        if wrong
        else f"all {n} golden requests are answered as when the model was packaged",
        measured=float(len(wrong)),
        threshold=0.0,
        n=n,
        next_step="compare what the model reads in training with what the service reads" if wrong else "",
    )


def malformed(statuses: Mapping[str, int], *, subject: str) -> Finding:
    """Every malformed request, by name, was refused with 4xx; 0 stands for no answer."""
    wrong = [f"{name} → {status or 'no answer'}" for name, status in statuses.items() if not 400 <= status < 500]
    return Finding(
        check="service.malformed",
        outcome=Outcome.FAIL if wrong or not statuses else Outcome.PASS,
        subject=subject,
        message=f"{len(wrong)} of {len(statuses)} malformed requests are not refused with 4xx: {'; '.join(wrong[:5])}"
        if wrong
        else f"all {len(statuses)} malformed requests are refused with 4xx",
        measured=float(len(wrong)),
        threshold=0.0,
        n=len(statuses),
        next_step="the service's log says what it did with them" if wrong else "",
    )


def load(
    measured: Mapping[str, float], limits: Load, *, subject: str, champion: Mapping[str, float] | None = None
) -> tuple[Finding, ...]:
    """The load's `requests`, `errors`, `p99_ms` and `qps` against the limits, told beside the champion's.

    Where both were measured in turn, one that is surely more than `slower` times as slow as the champion fails too.
    """
    n = int(measured["requests"])
    if n == 0:
        return tuple(
            Finding(check=check, outcome=Outcome.NOT_RUN, subject=subject, message="no request was sent")
            for check in CHECKS[3:]
        )

    def finding(check: str, said: str, name: str, limit: float, *, good: bool, next_step: str) -> Finding:
        beside = f", the champion's {said.format(champion[name])}" if champion and name in champion else ""
        return Finding(
            check=check,
            outcome=Outcome.PASS if good else Outcome.FAIL,
            subject=subject,
            message=f"{limits.connections} clients at once, {n:,} requests: {said.format(measured[name])}{beside}; "
            f"limit {said.format(limit)}{_in_turn(measured, limits) if name == 'p99_ms' else ''}",
            measured=measured[name],
            threshold=limit,
            n=n,
            next_step="" if good else next_step,
        )

    beaten = measured.get("slower_low", 0.0) > limits.slower  # proven: the whole interval lies beyond
    faster = "make the model or its on-demand features faster, or change {} in [tool.mlops.load]"
    return (
        finding(
            "service.errors",
            "{:,.0f} unanswered or 5xx",
            "errors",
            0.0,
            good=measured["errors"] == 0,
            next_step="read the service's log: `mlops check-service` says where it is",
        ),
        finding(
            "service.latency",
            "99 in 100 within {:,.4g} ms",
            "p99_ms",
            limits.p99_ms,
            good=measured["p99_ms"] <= limits.p99_ms and not beaten,
            next_step=faster.format("slower" if beaten else "p99_ms"),
        ),
        finding(
            "service.throughput",
            "{:,.4g} a second",
            "qps",
            limits.qps,
            good=measured["qps"] >= limits.qps,
            next_step=faster.format("qps"),
        ),
    )


def _in_turn(measured: Mapping[str, float], limits: Load) -> str:
    """How the latency compares with the champion's, where both were measured."""
    if "slower" not in measured:
        return ""
    interval = f"95 % interval {measured['slower_low']:.2f} to {measured['slower_high']:.2f}"
    return f"; on average {measured['slower']:.2f} times the champion's ({interval}), limit {limits.slower:g} times"
