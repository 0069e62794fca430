"""What a person's overrides change in a verdict, and what they cannot."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import date

from mlops.declare import split_version
from mlops.gates.severities import FINAL
from mlops.verdict import Finding, Outcome, Override, Severity, Verdict


def in_force(events: Iterable[Override], today: date) -> tuple[Override, ...]:
    """The overrides that hold on that day: of those of one gate and subject the newest, unless it ended."""
    newest: dict[tuple[str, str], Override] = {}
    for event in sorted(events, key=lambda event: event.at):
        newest[event.gate, event.subject] = event
    return tuple(one for one in newest.values() if not one.ended and today <= date.fromisoformat(one.until))


def overridable(verdict: Verdict) -> bool:
    """Whether there is a "no" that a person may let pass."""
    return any(_may_pass(finding) for finding in verdict.findings)


def overridden(verdict: Verdict, overrides: Iterable[Override]) -> Verdict:
    """The verdict with each finding that stops, and that an override covers, as overridden."""
    known = tuple(overrides)
    return dataclasses.replace(verdict, findings=tuple(_judged(verdict, f, known) for f in verdict.findings))


def _judged(verdict: Verdict, finding: Finding, overrides: tuple[Override, ...]) -> Finding:
    by = next((one for one in overrides if _covers(one, verdict, finding)), None)
    if by is None or not _may_pass(finding):
        return finding
    return dataclasses.replace(finding, outcome=Outcome.OVERRIDDEN, found=finding.outcome, override=by)


def _may_pass(finding: Finding) -> bool:
    return finding.fired and finding.severity is Severity.FAIL and finding.check not in FINAL


def _covers(override: Override, verdict: Verdict, finding: Finding) -> bool:
    return override.gate in (finding.check, verdict.gate) and override.subject in _subjects(verdict, finding)


def _subjects(verdict: Verdict, finding: Finding) -> set[str]:
    subject = verdict.subject or finding.subject  # features are judged together, and named by their findings
    try:
        return {"", subject, split_version(subject)[0]}
    except ValueError:  # a source has no version
        return {"", subject}
