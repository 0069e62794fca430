from __future__ import annotations

import pytest

from mlops.errors import ConfigError
from mlops.gates.severities import apply, known_checks
from mlops.verdict import Finding, Outcome, Severity


def finding(check: str, outcome: Outcome) -> Finding:
    return Finding(check=check, outcome=outcome, message="so it is")


def test_the_default_is_the_table_s():
    [found] = apply([finding("data.value_skew", Outcome.FAIL)], {})
    assert found.severity is Severity.RETRAIN


def test_the_configuration_overrides_a_check_by_name():
    [found] = apply([finding("schema.range", Outcome.FAIL)], {"schema.range": "warn"})
    assert found.severity is Severity.WARN


def test_a_check_that_did_not_run_stops_unless_it_is_named():
    name = "deepchecks.integrity.IsSingleValue"
    assert known_checks()[name].severity is Severity.WARN
    assert apply([finding(name, Outcome.NOT_RUN)], {})[0].severity is Severity.FAIL
    assert apply([finding(name, Outcome.NOT_RUN)], {name: "warn"})[0].severity is Severity.WARN


def test_a_misspelt_check_is_an_error_with_the_nearest_name():
    with pytest.raises(ConfigError) as error:
        apply([], {"schema.rnage": "warn"})
    assert "schema.range" in error.value.next_step


def test_every_default_has_a_reason():
    assert all(default.why for default in known_checks().values())
