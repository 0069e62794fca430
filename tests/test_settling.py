"""How a verdict is settled: by the configuration's severities, then by what a person lets pass."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from mlops.config import Config
from mlops.errors import OutsideError
from mlops.settling import Settling
from mlops.verdict import Finding, Outcome, Override, Record, Verdict


class Asked:
    """A recorder whose ledger holds these overrides, or does not answer; counts how often it is asked."""

    def __init__(self, *gates: str, down: bool = False) -> None:
        today = str(datetime.now(UTC).date())
        self.held = tuple(Override(gate=gate, until=today, reason="r", who="ada", at=today) for gate in gates)
        self.down, self.times = down, 0

    def call(self, action):
        self.times += 1
        if self.down:
            raise OutsideError("the ledger is down", next_step="start it")
        return action(SimpleNamespace(overrides=lambda *, days: self.held), "run")


def settling(recorder: Asked, **severity: str) -> Settling:
    return Settling(Config(severity=severity), recorder)


def record(check: str, step: str, outcome: Outcome = Outcome.FAIL, **outputs: str) -> Record:
    findings = (
        Finding(check=check, outcome=outcome, message="m"),
        Finding(check="c", outcome=Outcome.PASS, message="m"),
    )
    return Record(
        step=step, subject="s_v1", outputs=outputs, verdict=Verdict(gate=step, subject="s_v1", findings=findings)
    )


@pytest.mark.parametrize(
    ("check", "step"),
    [
        ("features.look-ahead", "check-features"),
        ("schema.range", "check-data"),
        ("training-set.copies", "assemble"),
        ("train.convergence", "train"),
        ("model.leakage", "check-model"),
        ("package.form", "package"),
        ("service.latency", "check-service"),
        ("own.refuses_nobody", "check-model"),
    ],
)
def test_the_configured_severity_holds_for_every_family_of_checks(check, step):
    assert settling(Asked()).settled(record(check, step)).verdict.outcome is Outcome.FAIL
    softened = settling(Asked(), **{check: "warn"})
    assert softened.settled(record(check, step)).verdict.outcome is Outcome.PASS


def test_the_ledger_is_asked_once_and_only_after_a_no():
    recorder = Asked("model.floor")
    judging = settling(recorder)
    assert judging.settled(record("model.floor", "check-model", Outcome.PASS)).verdict.outcome is Outcome.PASS
    assert recorder.times == 0
    for _ in range(2):
        assert judging.settled(record("model.floor", "check-model")).verdict.outcome is Outcome.OVERRIDDEN
    assert recorder.times == 1


def test_a_ledger_that_does_not_answer_overrides_nothing():
    assert settling(Asked("model.floor", down=True)).settled(record("model.floor", "check-model")).verdict.outcome is (
        Outcome.FAIL
    )


def test_a_step_that_built_nothing_has_nothing_to_go_on_with():
    recorder = Asked("training-set.rows")
    refused = record("training-set.rows", "assemble")
    assert settling(recorder).settled(refused).verdict.outcome is Outcome.FAIL
    assert recorder.times == 0
    built = record("training-set.rows", "assemble", train="ab" * 32)
    assert settling(recorder).settled(built).verdict.outcome is Outcome.OVERRIDDEN


def test_a_record_without_a_verdict_stays_as_it_is():
    taken = Record(step="snapshot", subject="s")
    assert settling(Asked()).settled(taken) is taken
