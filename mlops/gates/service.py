"""Whether a packaged model serves: it boots, answers its golden requests, refuses bad ones. Its load: `gates.load`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mlops.gates import load
from mlops.verdict import Finding, Outcome

CHECKS = ("service.boot", "service.golden", "service.malformed", *load.CHECKS)


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
