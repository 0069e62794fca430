"""Judges the user's own tests: all pass, and each feature is called by one that does."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.adapters.pytest_run import Ran
from mlops.declare import Declared
from mlops.gates.features import said
from mlops.verdict import Finding, Outcome


def judge_tests(ran: Ran, features: Sequence[Declared], folders: Sequence[str], *, found: bool) -> list[Finding]:
    """What the tests in `folders` say (`found` where there are any), and which feature has none that passes."""
    where = ", ".join(folders)
    findings = [_tested(one, ran, where) for one in features]
    if not features:
        reason = "the project declares no features, so there is none to test"
        findings.append(Finding(check="features.declared", outcome=Outcome.PASS, message=reason))
    if ran.crashed:
        message = f"the tests in {where} did not come to an end: {ran.crashed}"
        step = f"run `pytest {where}` and mend what it shows"
        return [*findings, Finding(check="features.tests", outcome=Outcome.NOT_RUN, message=message, next_step=step)]
    for error in ran.errors:
        message = f"{error.id} cannot be read: {error.message}"
        step = f"run `pytest {error.id}` and mend what it shows"
        findings.append(Finding(check="features.tests", outcome=Outcome.FAIL, message=message, next_step=step))
    for test in ran.tests:
        if test.outcome not in ("passed", "skipped"):
            message = f"{test.id} {test.outcome}: {test.message or f'{test.file}:{test.line}'}"
            step = f"run `pytest '{test.id}'`, then mend the feature or the test"
            findings.append(
                Finding(check="features.tests", outcome=Outcome.FAIL, message=message, subject=test.id, next_step=step)
            )
    passed = sum(test.outcome == "passed" for test in ran.tests)
    if passed and not any(f.check == "features.tests" for f in findings):
        message = f"{passed} of {len(ran.tests)} tests in {where} pass"
        findings.append(Finding(check="features.tests", outcome=Outcome.PASS, message=message, n=passed))
    elif not found or not ran.tests:
        reason = f"there are no tests in {where}"
        findings.append(Finding(check="features.tests", outcome=Outcome.SKIPPED, message=reason))
    return findings


def _tested(one: Declared, ran: Ran, where: str) -> Finding:
    calling = [test for test in ran.tests if one.name in test.called]
    passing = [test for test in calling if test.outcome == "passed"]
    if passing:
        message = f"{one.name} is called by {len(passing)} passing tests"
        return Finding(check="features.tested", outcome=Outcome.PASS, message=message, subject=one.name, n=len(passing))
    problem = "has no test that calls it"
    if calling:
        problem = f"is called by {calling[0].id} alone, which {calling[0].outcome}"
    step = (
        f"write `def test_{one.family}()` in {where}/test_{one.module.rpartition('.')[2]}.py that calls {one.name} "
        "with a small frame and asserts what comes out; mlops.testing has frame() and assert_no_look_ahead()"
    )
    return said(one, "tested", problem, next_step=step)
