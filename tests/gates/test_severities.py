"""One registry for all checks: what each does when it fires, and that not having run is never a pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlops.errors import ConfigError
from mlops.gates.severities import FINAL, GATES, OURS, apply, known_checks, relevant, validate
from mlops.verdict import Finding, Outcome, Severity, Verdict

ROOT = Path(__file__).parents[2]


def finding(check: str, outcome: Outcome, severity: Severity = Severity.FAIL) -> Finding:
    return Finding(check=check, outcome=outcome, message="so it is", severity=severity)


def judged(*findings: Finding, **settings: str) -> Verdict:
    return Verdict(gate="g", subject="s", findings=apply(findings, settings))


@pytest.mark.parametrize("name", [*known_checks(), "own.anything"])
@pytest.mark.parametrize("severity", Severity)
def test_a_check_that_did_not_run_never_passes_whatever_it_does_when_it_fires(name, severity):
    """Promise 2, over every check there is."""
    missing = finding(name, Outcome.NOT_RUN, severity)
    assert not judged(missing).accepted
    assert judged(missing, finding("model.finite", Outcome.PASS)).outcome is Outcome.FAIL


@pytest.mark.parametrize("name", [*known_checks(), "own.anything"])
def test_insufficient_evidence_alone_never_passes(name):
    """Promise 2: no data is no pass, even where the check only warns."""
    assert judged(finding(name, Outcome.INSUFFICIENT)).outcome is Outcome.INSUFFICIENT


@pytest.mark.parametrize("name", known_checks())
def test_every_check_belongs_to_a_gate(name):
    gates = [gate for gate in GATES if relevant({name: "warn"}, gate)]
    assert len(gates) == 1, name


@pytest.mark.parametrize("name", known_checks())
def test_every_default_has_a_reason(name):
    assert known_checks()[name].why


def test_the_default_is_the_table_s():
    [found] = apply([finding("data.value_skew", Outcome.FAIL)], {})
    assert found.severity is Severity.RETRAIN


def test_a_graded_check_says_itself_how_bad_it_is():
    [found] = apply([finding("training-set.coverage", Outcome.FAIL, Severity.WARN)], {})
    assert found.severity is Severity.WARN


def test_the_configuration_overrides_a_check_by_name():
    [found] = apply([finding("schema.range", Outcome.FAIL)], {"schema.range": "warn"})
    assert found.severity is Severity.WARN


def test_a_check_that_did_not_run_stops_unless_it_is_named():
    name = "deepchecks.integrity.IsSingleValue"
    assert known_checks()[name].severity is Severity.WARN
    assert apply([finding(name, Outcome.NOT_RUN)], {})[0].severity is Severity.FAIL
    assert apply([finding(name, Outcome.NOT_RUN)], {name: "warn"})[0].severity is Severity.WARN


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("schema.rnage", "schema.range"),
        ("features.lookahead", "features.look-ahead"),
        ("service.latncy", "service.latency"),
        ("package.forms", "package.form"),
        ("train.convergance", "train.convergence"),
        ("training-set.row", "training-set.rows"),
        ("deepchecks.integrity.MixedNull", "deepchecks.integrity.MixedNulls"),
        ("modle.floor", "model.floor"),
        ("own.refuses_nobdy", "own.refuses_nobody"),
    ],
)
def test_a_misspelt_check_of_any_family_is_an_error_with_the_nearest_name(misspelt, meant):
    with pytest.raises(ConfigError) as error:
        validate({misspelt: "warn"}, own=["refuses_nobody"])
    assert meant in error.value.next_step


@pytest.mark.parametrize("name", FINAL)
def test_what_proves_that_the_judged_model_is_served_cannot_be_softened(name):
    assert name in OURS
    with pytest.raises(ConfigError, match="cannot be changed"):
        validate({name: "warn"})


def test_every_check_that_the_code_names_is_in_the_registry():
    """A check without a row would have no stated severity."""
    families = "|".join(family for families in GATES.values() for family in families if "." not in family)
    named = set()
    for file in [*(ROOT / "mlops/gates").glob("*.py"), *(ROOT / "mlops/steps").glob("*.py")]:
        named |= set(re.findall(rf'"((?:{families})\.[a-z_-]+)"', file.read_text(encoding="utf-8")))
    files = (".csv", ".env", ".onnx", ".py", ".safetensors", ".skops")
    checks = {name for name in named if Path(name).suffix not in files}
    assert checks - set(known_checks()) == set()
