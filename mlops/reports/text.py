"""A report for a terminal or a log."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from mlops.reports.words import MARKS, Shown, evidence, let_pass, number, remark, seconds, told, verdict_word, word
from mlops.verdict import Finding, Outcome, Record, Report, Verdict

_INDENT = 15


def line(record: Record) -> str:
    """One line on a finished step: mark, name, time, what it gave."""
    mark = MARKS[record.verdict.outcome] if record.verdict else "✓"
    took = "reused" if record.reused else seconds(record.seconds)
    return f"{mark} {record.step:<15} {record.subject:<24} {took:>9}  {remark(record)}".rstrip()


def render(report: Report, shown: Shown | None = None, *, width: int = 0) -> str:  # noqa: ARG001 - tables need width
    """The verdict first, then what fired with its evidence and next step, then the releases.

    Lines are folded at `width`, or not at all.
    """
    lines = [f"verdict: {verdict_word(report).upper()}"]
    for verdict in report.verdicts:
        lines += _told(verdict)
    for release in report.releases:
        lines.append(f"release  {release}{_quality(report, release)}")
    for release, environment in report.deployed.items():
        lines.append(f"live     {environment}: {release}")
    return "\n".join(folded for one in lines for folded in _folded(one, width))


def finding(found: Finding) -> Iterator[str]:
    """A finding in two to five lines, and its detail."""
    subject = f" {found.subject}" if found.subject else ""
    yield f"  {word(found):<12} {_one_line(f'{found.check}{subject}: {found.message}')}"
    for more in (evidence(found), let_pass(found), found.next_step and f"next: {found.next_step}"):
        if more:
            yield f"{'':{_INDENT}}{_one_line(more)}"
    for detail in found.detail.splitlines():
        yield f"{'':{_INDENT}}{detail}".rstrip()


def _told(verdict: Verdict) -> list[str]:
    findings = told(verdict)
    if not findings and verdict.outcome is not Outcome.NOT_RUN:
        return []
    lines = ["", f"{verdict.gate} {verdict.subject}".rstrip() + f": {verdict.outcome.value}"]
    for found in findings:
        lines += finding(found)
    if not findings:
        lines.append("  nothing was checked, and that is not a pass")
    return [*lines, ""]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _folded(text: str, width: int) -> list[str]:
    if not width or len(text) <= width:
        return [text]
    begin = textwrap.wrap(text, width, subsequent_indent=" " * _INDENT, break_on_hyphens=False)
    return begin or [text]


def _quality(report: Report, release: str) -> str:
    model = release.rpartition("-")[0]
    for record in report.records:
        if record.step == "check-model" and record.subject == model:
            metric = str(record.facts.get("metric", ""))
            if metric in record.metrics:
                return f"  {metric} {number(record.metrics[metric])} on held-out rows"
    return ""
