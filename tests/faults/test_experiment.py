from __future__ import annotations

from types import SimpleNamespace

from mlops.faults.experiment import cases
from mlops.gates.severities import OURS
from mlops.verdict import Outcome, Verdict


def test_every_fault_fires_the_check_that_it_names_and_nothing_sound_does():
    """Promise 1."""
    tried = set()
    for case in cases(SimpleNamespace(model=SimpleNamespace(name="risk_v1"))):
        findings = tuple(case.judge())
        fired = {one.check for one in findings if one.outcome is not Outcome.PASS}
        assert fired == ({case.check} if case.check else set()), case.fault
        if not case.check:
            assert Verdict(gate="experiment", subject="risk_v1", findings=findings).outcome is Outcome.PASS
        tried |= {case.check}
    assert {name for name in OURS if name.startswith("experiment.")} == tried - {""}
