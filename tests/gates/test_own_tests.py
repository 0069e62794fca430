"""A test of one's own passes only when it ran and said so."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.adapters.pytest_run import Broken, Ran
from mlops.adapters.pytest_run import Tested as Ended
from mlops.gates.own_tests import judge
from mlops.verdict import Finding, Outcome

ROOT = Path("/somewhere/shop")


def ended(outcome: str, message: str = "", *, asserted: bool = False, name: str = "test_it") -> Ended:
    file = "tests/model/test_rules.py"
    return Ended(
        id=f"{file}::{name}", file=file, line=7, outcome=outcome, message=message, called=(), asserted=asserted
    )


def judged(ran: Ran) -> tuple[Finding, ...]:
    return judge(ran, folders=["tests/model"], subject="churn_v1", root=ROOT, command="mlops check-model churn_v1")


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        (ended("passed"), Outcome.PASS),
        (ended("failed", "no", asserted=True), Outcome.FAIL),
        (ended("failed", "KeyError: 'x'"), Outcome.NOT_RUN),
        (ended("not run"), Outcome.NOT_RUN),
        (ended("skipped", "later"), Outcome.SKIPPED),
    ],
)
def test_each_end_of_a_test_is_one_finding(test, outcome):
    """Promise 2: a test that crashed, or never ended, is no pass."""
    [found] = judged(Ran(tests=(test,)))
    assert (found.check, found.outcome, found.subject) == (
        "own.tests/model/test_rules.py::test_it",
        outcome,
        "churn_v1",
    )


def test_a_failure_says_what_was_asserted_where_and_what_to_do():
    message = (
        f"{ROOT}/tests/model/test_rules.py:9: AssertionError: too sure\nassert 0.99 <= 0.9\n +  where 0.99 = max()"
    )
    [found] = judged(Ran(tests=(ended("failed", message, asserted=True),)))
    assert found.message == "test_it: tests/model/test_rules.py:9: AssertionError: too sure"
    assert "tests/model/test_rules.py:7" in found.next_step
    assert "`mlops check-model churn_v1`" in found.next_step


def test_a_bare_assertion_says_its_values():
    [found] = judged(Ran(tests=(ended("failed", "AssertionError: assert 1 == 2\n +  where 1 = f()", asserted=True),)))
    assert found.message == "test_it: AssertionError: assert 1 == 2"


def test_all_parameters_of_a_test_are_one_check_which_a_severity_can_name():
    both = [ended("passed", name=f"test_it[{k}]") for k in (1, 2)]
    found = judged(Ran(tests=tuple(both)))
    assert {one.check for one in found} == {"own.tests/model/test_rules.py::test_it"}
    assert [one.message for one in found] == ["test_it[1] passes", "test_it[2] passes"]


@pytest.mark.parametrize(
    ("ran", "says"),
    [
        (Ran(crashed="pytest ended with code 139"), "139"),
        (Ran(), "no test was found"),
        (Ran(errors=(Broken(id="tests/model/test_rules.py", message="E   ImportError: no"),)), "ImportError"),
    ],
)
def test_where_nothing_ran_nothing_passes(ran, says):
    """Promise 2."""
    [found] = judged(ran)
    assert found.outcome is Outcome.NOT_RUN
    assert says in found.message
    assert found.next_step


def test_a_file_that_skips_itself_is_told_with_its_reason():
    [found] = judged(Ran(skipped=(Broken(id="tests/model/test_rules.py", message="Skipped: no torch here"),)))
    assert (found.outcome, "no torch here" in found.message) == (Outcome.SKIPPED, True)


def test_tests_of_other_subjects_alone_say_nothing():
    assert judged(Ran(elsewhere=3)) == ()
