"""What each check does when it fires, and why: stop (`fail`), ask for retraining (`retrain`), or only say so (`warn`).

`[tool.mlops.severity]` overrides a default by the check's name. A check that did not run always stops: whoever
wants to go on without it has to say so by naming it there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops.errors import ConfigError, nearest
from mlops.gates.deepchecks import SPECS
from mlops.verdict import Finding, Outcome, Severity


@dataclass(frozen=True, slots=True)
class Default:
    """What a check does when it fires, and the reason."""

    severity: Severity
    why: str


_FAIL, _RETRAIN, _WARN = Severity.FAIL, Severity.RETRAIN, Severity.WARN

OURS: dict[str, Default] = {
    "schema.file": Default(_FAIL, "without a schema nothing can be called skew"),
    "schema.column": Default(_FAIL, "a feature that reads the column breaks, or sees nulls"),
    "schema.unexpected": Default(_FAIL, "a renamed column shows as a missing and an unexpected one"),
    "schema.type": Default(_FAIL, "a number that became text is encoded as something else"),
    "schema.range": Default(_FAIL, "a value out of range is a unit jump or a broken sensor, and models extrapolate"),
    "schema.category": Default(_FAIL, "an encoder has never seen the value"),
    "schema.presence": Default(_FAIL, "values went missing that never did before"),
    "schema.unique": Default(_FAIL, "a key that repeats multiplies rows in every join"),
    "schema.empty": Default(_FAIL, "nothing was delivered"),
    "schema.order": Default(_FAIL, "time ran backwards in a table that was in order"),
    "schema.constraint": Default(_FAIL, "whoever wrote the constraint meant it"),
    "data.label": Default(_FAIL, "nothing can be learnt from a label that never changes"),
    "data.value_skew": Default(_RETRAIN, "the world moved: the remedy is training, not stopping the data"),
    "model.floor": Default(_FAIL, "the promise that the model is good enough at all"),
    "model.baseline": Default(_FAIL, "a constant answer is cheaper, and no worse"),
    "model.champion": Default(_FAIL, "a release must not be worse than the one it replaces"),
    "model.finite": Default(_FAIL, "NaN is no answer"),
    "model.leakage": Default(_FAIL, "one feature alone that knows the answer will not know it in production"),
    "model.overfit": Default(_WARN, "many sound models (forests, boosting) remember their rows; the holdout decides"),
    "model.segment": Default(_WARN, "a weak segment is for a person to weigh; few rows make it noisy"),
}


def apply(findings: Iterable[Finding], overrides: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The findings with the severities of the configuration; ConfigError for a check that does not exist.

    A check that did not run stops whatever its default, unless the configuration names it.
    """
    known = known_checks()
    for name in overrides:
        if name not in known and name.partition(".")[0] in _OF_THIS_FILE:
            raise ConfigError(f"[tool.mlops.severity] names an unknown check {name!r}", next_step=nearest(name, known))
    return tuple(_judged(finding, overrides) for finding in findings)


def known_checks() -> dict[str, Default]:
    """Every check of the data and model gates by name, with its default."""
    theirs = {spec.name: Default(spec.severity, spec.why) for spec in SPECS}
    return {**OURS, **theirs}


_OF_THIS_FILE = {"schema", "data", "model", "deepchecks"}


def _judged(finding: Finding, overrides: Mapping[str, Any]) -> Finding:
    if finding.check in overrides:
        return dataclasses.replace(finding, severity=Severity(overrides[finding.check]))
    if finding.outcome is Outcome.NOT_RUN:
        return dataclasses.replace(finding, severity=Severity.FAIL)
    default = known_checks().get(finding.check)
    return finding if default is None else dataclasses.replace(finding, severity=default.severity)
