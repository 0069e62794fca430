from __future__ import annotations

from types import SimpleNamespace

import pytest

from mlops.faults.outcomes import cases
from mlops.gates.severities import OURS, apply
from mlops.verdict import Outcome, Verdict
from tests.serving.releases import contract


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_every_fault_fires_the_check_that_it_names_and_nothing_sound_does(task):
    """Promise 1."""
    tried = set()
    for case in cases(SimpleNamespace(contract=contract(task=task))):
        findings = apply(case.judge(), {})
        fired = {one.check for one in findings if one.outcome is not Outcome.PASS}
        assert fired == ({case.check} if case.check else set()), case.fault
        if not case.check:
            assert Verdict(gate="outcomes", subject="risk_v1", findings=findings).outcome is Outcome.PASS
        tried |= {case.check}
    lacking = {name for name in OURS if name.startswith("outcomes.")} - tried
    assert lacking == ({"outcomes.label"} if task == "regression" else set())
