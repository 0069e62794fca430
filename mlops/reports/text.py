"""A report for a terminal or a log."""

from __future__ import annotations

from collections.abc import Iterator

from mlops.reports.words import MARKS, evidence, number, remark, seconds, verdict_word, word
from mlops.verdict import Finding, Outcome, Record, Report, Verdict


def line(record: Record) -> str:
    """One line on a finished step: mark, name, time, what it gave."""
    mark = MARKS[record.verdict.outcome] if record.verdict else "✓"
    took = "reused" if record.reused else seconds(record.seconds)
    return f"{mark} {record.step:<15} {record.subject:<24} {took:>9}  {remark(record)}".rstrip()


def render(report: Report) -> str:
    """The verdict first, then what fired with its evidence and next step, then the releases."""
    lines = [f"verdict: {verdict_word(report).upper()}"]
    for verdict in report.verdicts:
        lines += _fired(verdict)
    for release in report.releases:
        lines.append(f"release  {release}{_quality(report, release)}")
    for environment, release in report.deployed.items():
        lines.append(f"live     {environment}: {release}")
    return "\n".join(lines)


def finding(found: Finding) -> Iterator[str]:
    """A finding in two to four lines."""
    subject = f" {found.subject}" if found.subject else ""
    yield f"  {word(found):<12} {found.check}{subject}: {' '.join(found.message.split())}"
    numbers = evidence(found)
    if numbers:
        yield f"               {numbers}"
    if found.next_step:
        yield f"               next: {found.next_step}"


def _fired(verdict: Verdict) -> list[str]:
    fired = verdict.fired
    if not fired and verdict.outcome is not Outcome.NOT_RUN:
        return []
    lines = ["", f"{verdict.gate} {verdict.subject}: {verdict.outcome.value}"]
    for found in fired:
        lines += finding(found)
    if not fired:
        lines.append("  nothing was checked, and that is not a pass")
    return [*lines, ""]


def _quality(report: Report, release: str) -> str:
    model = release.rpartition("-")[0]
    for record in report.records:
        if record.step == "check-model" and record.subject == model:
            metric = str(record.facts.get("metric", ""))
            if metric in record.metrics:
                return f"  {metric} {number(record.metrics[metric])} on held-out rows"
    return ""
