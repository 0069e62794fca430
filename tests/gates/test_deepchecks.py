from __future__ import annotations

from types import SimpleNamespace

import pytest

from mlops.gates import deepchecks as suites
from mlops.gates.deepchecks import SPECS, Situation
from mlops.gates.severities import apply
from mlops.verdict import Outcome, Severity, Verdict

EVERYTHING = Situation(task="binary", timestamp=False, key=True, probabilities=True)


def answer(
    check: str, category: str = "PASS", details: str = "fine", error: str = "", value: float | None = None, column=""
) -> SimpleNamespace:
    conditions = () if error else (SimpleNamespace(name="is sound", category=category, details=details),)
    return SimpleNamespace(check=check, conditions=conditions, value=value, column=column, error=error)


def judged(*changed: SimpleNamespace, missing: str = "", situation: Situation = EVERYTHING, n: int = 10) -> dict:
    by_name = {a.check: a for a in changed}
    asked = [spec.check for spec in suites.asked("integrity", situation) if spec.check != missing]
    answers = [by_name.get(name, answer(name)) for name in asked]
    found = suites.findings("integrity", situation, answers, subject="sales", n=n, of=10)
    return {f.check.rpartition(".")[2]: f for f in apply(found, {})}


def accepted(found: dict) -> bool:
    return Verdict(gate="check-data", subject="sales", findings=tuple(found.values())).accepted


def test_every_check_of_a_suite_has_one_finding():
    assert list(judged()) == [spec.check for spec in SPECS if spec.suite == "integrity"]
    assert accepted(judged())


def test_a_check_that_gave_no_answer_did_not_run_and_stops():
    """PROMISES 2."""
    found = judged(missing="IsSingleValue")  # only a warning when it fires
    assert found["IsSingleValue"].outcome is Outcome.NOT_RUN
    assert not accepted(found)


@pytest.mark.parametrize(
    "broken",
    [
        answer("IsSingleValue", error="MemoryError: no room"),
        answer("IsSingleValue", category="ERROR", details="division by zero"),
        SimpleNamespace(check="IsSingleValue", conditions=(), value=1.0, column="", error=""),
    ],
    ids=["crashed", "condition crashed", "judged nothing"],
)
def test_a_check_that_crashed_or_judged_nothing_stops(broken):
    """PROMISES 2."""
    found = judged(broken)
    assert found["IsSingleValue"].outcome is Outcome.NOT_RUN
    assert not accepted(found)


def test_a_check_that_does_not_apply_is_skipped_with_its_reason():
    found = judged(situation=Situation(task="regression", timestamp=True))
    assert found["ConflictingLabels"].message == "the label is not a class"
    assert "split by time" in found["IdentifierLabelCorrelation"].message or "key" in (
        found["IdentifierLabelCorrelation"].message
    )
    assert accepted(found)


def test_a_fault_is_told_with_condition_details_and_sample():
    found = judged(answer("MixedNulls", "FAIL", "Found 2 kinds"), n=5)["MixedNulls"]
    assert found.fired
    assert found.message == "Found 2 kinds (wanted: is sound) (a sample of 5 of 10 rows)"
    assert found.next_step


def test_a_fault_of_one_column_names_it_with_what_was_measured_and_what_to_write():
    found = judged(answer("FeatureLabelCorrelation", "FAIL", "Found 1", value=0.99, column="refund"))
    leak = found["FeatureLabelCorrelation"]
    assert (leak.subject, leak.measured, leak.threshold) == ("refund", 0.99, 0.98)
    assert "ignore=['refund']" in leak.next_step


def test_columns_that_go_together_are_no_fault_of_an_honest_table():
    found = judged()["FeatureFeatureCorrelation"]
    assert found.outcome is Outcome.SKIPPED
    assert "no harm" in found.message


def test_a_warning_of_deepchecks_counts_as_fired():
    assert not accepted(judged(answer("DataDuplicates", "WARN", "Found 50 %")))


def test_an_error_that_means_does_not_apply_is_a_skip():
    spec = next(s for s in SPECS if s.excused)
    situation = Situation(task="binary", probabilities=True)
    said = [answer(s.check) for s in suites.asked(spec.suite, situation) if s is not spec]
    excused = answer(spec.check, error=f"DeepchecksProcessError: x was {spec.excused[0]} because")
    found = suites.findings(spec.suite, situation, [*said, excused], subject="m", n=1, of=1)
    [skip] = [f for f in found if f.check == spec.name]
    assert skip.outcome is Outcome.SKIPPED
    assert skip.message == spec.excused[1]


def test_every_check_says_what_it_does_when_it_fires_and_why():
    names = [spec.name for spec in SPECS]
    assert len(set(names)) == len(names)
    for spec in SPECS:
        assert spec.why
        assert spec.severity in Severity
        never = {"estimator", "condition", "harm"} & set(spec.needs)
        assert never or (spec.conditions and spec.next_step), spec.name
