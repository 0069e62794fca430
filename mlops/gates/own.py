"""A user's own checks: what a function declared with `@check` said, as findings.

It may assert, return a truth value, or return findings. What raises anything else, or returns something else,
did not run, and that is no pass.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mlops.declare import Check
from mlops.verdict import Finding, Outcome, Severity


def run(check: Check, values: Mapping[str, Any], *, subject: str) -> tuple[Finding, ...]:
    """Call the check with those of `values` that its parameters name; gives its findings, at least one.

    A check whose parameters name something that is not there gives NOT_RUN with the names there are.
    """
    wanted = list(inspect.signature(check.function).parameters)
    strange = [name for name in wanted if name not in values]
    if strange:
        return (not_run(check, subject, f"asks for {strange[0]!r}; it can have {', '.join(values)}"),)
    try:
        said = check.function(*(values[name] for name in wanted))
    except AssertionError as error:
        why = " ".join(str(error).split()) or "its assertion does not hold"
        return (_finding(check, subject, Outcome.FAIL, f"{check.name}: {why}"),)
    except Exception as error:  # noqa: BLE001 - whatever a user's check raises, it did not run
        return (not_run(check, subject, f"raised {type(error).__name__}: {' '.join(str(error).split())[:200]}"),)
    return _findings(check, subject, said)


def _findings(check: Check, subject: str, said: Any) -> tuple[Finding, ...]:
    if isinstance(said, Finding):
        return (_named(check, subject, said),)
    if said is None:
        return (_finding(check, subject, Outcome.PASS, f"{check.name}: {check.doc or 'holds'}"),)
    if isinstance(said, bool | np.bool_):
        outcome = Outcome.PASS if said else Outcome.FAIL
        return (_finding(check, subject, outcome, f"{check.name}: {check.doc or 'returned ' + str(bool(said))}"),)
    if isinstance(said, Iterable) and not isinstance(said, str | bytes | Mapping):
        found = list(said)
        if all(isinstance(one, Finding) for one in found):
            return tuple(_named(check, subject, one) for one in found) or (
                _finding(check, subject, Outcome.PASS, f"{check.name}: found nothing"),
            )
    return (not_run(check, subject, f"returned {type(said).__name__}"),)


def _named(check: Check, subject: str, finding: Finding) -> Finding:
    """The finding under the check's own name: it can speak for no other, and its severity can be set."""
    mine = f"own.{check.name}"
    name = finding.check if finding.check == mine or finding.check.startswith(f"{mine}.") else mine
    step = finding.next_step or (f"mend what it found; the check is at {check.origin}" if finding.fired else "")
    told = {field.name: getattr(finding, field.name) for field in dataclasses.fields(Finding)}
    return Finding(**{**told, "check": name, "subject": finding.subject or subject, "next_step": step})


def not_run(check: Check, subject: str, why: str) -> Finding:
    """That the check, of which `it` says `why`, could not run."""
    step = "let it assert, or return True, False or findings (mlops.Finding)"
    return _finding(check, subject, Outcome.NOT_RUN, f"{check.name} ({check.origin}) did not run: it {why}", step)


def _finding(check: Check, subject: str, outcome: Outcome, message: str, step: str = "") -> Finding:
    mend = step or f"mend what it found; the check is at {check.origin}"
    return Finding(
        check=f"own.{check.name}",
        outcome=outcome,
        message=message,
        severity=Severity.FAIL,
        subject=subject,
        next_step="" if outcome is Outcome.PASS else mend,
    )
