"""Values as words: numbers, seconds and findings, alike in every format."""

from __future__ import annotations

from collections.abc import Mapping

from mlops.exhibits import Exhibit
from mlops.verdict import Finding, Outcome, Record, Report, Severity, Verdict

Shown = Mapping[str, tuple[Exhibit, ...]]
"""What records have to show, by their names."""

MARKS = {
    Outcome.PASS: "✓",
    Outcome.FAIL: "✗",
    Outcome.INSUFFICIENT: "?",
    Outcome.OVERRIDDEN: "!",
    Outcome.NOT_RUN: "✗",
    Outcome.SKIPPED: "-",
}


_NOUNS = {
    "FAIL": "failed",
    "NOT RUN": "did not run",
    "INSUFFICIENT": "insufficient",
    "OVERRIDDEN": "overridden",
    "RETRAIN": "retrain",
    "WARN": "warned",
    "PASS": "passed",
    "SKIPPED": "skipped",
}


def number(value: float | str | None) -> str:
    """A number in at most four significant digits, with thousands separated."""
    if value is None or isinstance(value, str):
        return value or ""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def counted(count: int, noun: str) -> str:
    """`1 worker`, `2 workers`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def moment(at: str) -> str:
    """An ISO 8601 time in UTC as a person reads it: `2026-11-21 06:37:48 UTC`."""
    return f"{at[:19].replace('T', ' ')} UTC"


def seconds(value: float) -> str:
    """`0.12 s`, `8.1 s`, `2 min 5 s`."""
    if value >= 60:
        return f"{int(value // 60)} min {int(value % 60)} s"
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"


def bytes_of(size: int) -> str:
    """`512 B`, `1.4 kB`, `3.2 GB`: in powers of a thousand, as disks are sold."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def age(value: float) -> str:
    """`45 s`, `12 min`, `3 h`, `9 days`: how long ago, as far as a person cares."""
    for unit, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if value >= 2 * unit:
            return f"{value / unit:.0f} {name}"
    return f"{value:.0f} s"


def verdict_word(report: Report) -> str:
    """The outcome of a report; `stopped` where an error ended what no gate had refused."""
    return "stopped" if report.errors and report.outcome is Outcome.PASS else report.outcome.value


def word(finding: Finding) -> str:
    """What a finding amounts to: `FAIL`, `RETRAIN`, `WARN`, `INSUFFICIENT`, `NOT RUN`, `SKIPPED` or `PASS`."""
    if finding.outcome is Outcome.FAIL and finding.severity is not Severity.FAIL:
        return finding.severity.value.upper()
    return finding.outcome.value.upper()


def evidence(finding: Finding) -> str:
    """The numbers behind a finding: `channel = 'online', measured 0.31 [0.28, 0.34], threshold 0.4, n 9,874`."""
    parts = [finding.segment] if finding.segment else []
    if finding.measured is not None:
        interval = f" [{number(finding.interval[0])}, {number(finding.interval[1])}]" if finding.interval else ""
        parts.append(f"measured {number(finding.measured)}{interval}")
    if finding.threshold is not None:
        parts.append(f"threshold {number(finding.threshold)}")
    if finding.n is not None:
        parts.append(f"n {finding.n:,}")
    if finding.rows:
        shown = ", ".join(str(row) for row in finding.rows[:8])
        parts.append(f"rows {shown}{', …' if len(finding.rows) > 8 else ''}")
    return ", ".join(parts)


def let_pass(finding: Finding) -> str:
    """Who let a finding pass, until when, why, and what it had found; "" where nobody did."""
    if finding.override is None or finding.found is None:
        return ""
    by = finding.override
    return f"overridden by {by.who} until {by.until}: {by.reason} (else: {finding.found.value})"


def told(verdict: Verdict) -> tuple[Finding, ...]:
    """The findings that a person should read, worst first, then what was let pass."""
    return (*verdict.fired, *verdict.overridden)


def counts(report: Report) -> str:
    """How many checks ended how: `2 failed, 1 overridden, 40 passed, 11 skipped`."""
    findings = [f for verdict in report.verdicts for f in verdict.findings]
    words = [word(f) for f in findings]
    return ", ".join(f"{words.count(name):,} {noun}" for name, noun in _NOUNS.items() if name in words)


def remark(record: Record) -> str:
    """One phrase on what a step gave: its verdict with counts, or its own summary."""
    own = str(record.facts.get("summary", ""))
    if record.verdict is None:
        if own:
            return own
        rows = record.metrics.get("rows")
        return f"{number(rows)} rows" if rows is not None else ""
    ran = [f for f in record.verdict.findings if f.outcome is not Outcome.SKIPPED]
    counts = [counted(len(ran), "check")]
    words = [word(f) for f in record.verdict.findings]
    counts += [f"{words.count(name):,} {noun}" for name, noun in _NOUNS.items() if name in words and name != "PASS"]
    text = f"{record.verdict.outcome.value}: {', '.join(counts)}"
    return f"{own}; {text}" if own else text
