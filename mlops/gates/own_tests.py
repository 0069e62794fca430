"""A project's own pytest tests as checks: how each one ended, as a finding.

What asserted that something does not hold fails. What crashed, or did not come to an end, did not run: that is no pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlops.adapters.pytest_run import Broken, Ran, Tested
from mlops.verdict import Finding, Outcome

_SHOWN = 400  # characters of what a test said


def judge(ran: Ran, *, folders: Sequence[str], subject: str, root: Path, command: str) -> tuple[Finding, ...]:
    """One finding for each test of `subject`, named `own.FILE::TEST`; `command` runs them again.

    Files in which no test was found did not run. Nothing where all tests are of other subjects.
    """
    where = ", ".join(folders)
    if ran.crashed:
        return (not_run(where, subject, f"the tests did not come to an end: {ran.crashed}", f"run `{command}` again"),)
    findings = [_broken(one, subject, root, command) for one in ran.errors]
    findings += [_skipped(f"own.{one.id}", _plain(one.message, root), subject) for one in ran.skipped]
    findings += [_judged(one, subject, root, command) for one in ran.tests]
    if not findings and not ran.elsewhere:
        return (not_run(where, subject, "no test was found", "let a function begin with test_, or remove the files"),)
    return tuple(findings)


def not_run(where: str, subject: str, why: str, step: str) -> Finding:
    """That the tests in a folder did not run."""
    message = f"{where}: {why}"
    return Finding(check=f"own.{where}", outcome=Outcome.NOT_RUN, message=message, subject=subject, next_step=step)


def check_of(test: str) -> str:
    """The check's name: all parameters of a test are one check."""
    return f"own.{test.partition('[')[0]}"


def _broken(one: Broken, subject: str, root: Path, command: str) -> Finding:
    return Finding(
        check=check_of(one.id),
        outcome=Outcome.NOT_RUN,
        message=f"{one.id} did not run: {_plain(one.message, root)}",
        subject=subject,
        next_step=f"mend {one.id.partition('::')[0]}; `{command}` runs it again",
    )


def _judged(test: Tested, subject: str, root: Path, command: str) -> Finding:
    name, said = test.id.rpartition("::")[2], _plain(test.message, root)
    if test.outcome == "skipped":
        return _skipped(check_of(test.id), f"{name}: {said}", subject)
    if test.outcome == "passed":
        return Finding(check=check_of(test.id), outcome=Outcome.PASS, message=f"{name} passes", subject=subject)
    failed = test.outcome == "failed" and test.asserted
    return Finding(
        check=check_of(test.id),
        outcome=Outcome.FAIL if failed else Outcome.NOT_RUN,
        message=f"{name}: {said}" if failed else f"{name} did not run: {said or 'it did not come to an end'}",
        subject=subject,
        next_step=f"mend what it found, or the test at {test.file}:{test.line}; `{command}` runs it again",
    )


def _skipped(check: str, why: str, subject: str) -> Finding:
    return Finding(check=check, outcome=Outcome.SKIPPED, message=why, subject=subject)


def _plain(message: str, root: Path) -> str:
    """What was said, on one line, without pytest's account of how a value came about or this machine's paths."""
    kept: list[str] = []
    for line in message.replace(f"{root}/", "").splitlines():
        if line.lstrip().startswith("+ ") or (kept and line.startswith("assert ")):
            break
        kept.append(line)
    return " ".join(" ".join(kept).split())[:_SHOWN]
