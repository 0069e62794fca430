"""Every check: what it does when it fires (`fail` stops, `retrain` asks for retraining, `warn` says so), and why.

`[tool.mlops.severity]` changes a default by the check's name. A check that did not run always stops: whoever
wants to go on without it has to say so by naming it there. What is `FINAL` nobody can change or override.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops.errors import ConfigError, nearest
from mlops.gates.deepchecks_specs import SPECS
from mlops.verdict import Finding, Outcome, Severity


@dataclass(frozen=True, slots=True)
class Default:
    """What a check does when it fires, and the reason. `graded`: the check itself says how bad it is, this at worst."""

    severity: Severity
    why: str
    graded: bool = False


_FAIL, _RETRAIN, _WARN = Severity.FAIL, Severity.RETRAIN, Severity.WARN

OURS: dict[str, Default] = {
    "features.tests": Default(_FAIL, "a feature that fails its own tests computes something else than was meant"),
    "features.tested": Default(_FAIL, "a feature that no test calls is right by luck"),
    "features.runs": Default(_FAIL, "it raises on real rows"),
    "features.columns": Default(_FAIL, "models read the declared columns, as numbers or text"),
    "features.keys": Default(_FAIL, "a row without entity or time belongs to nobody"),
    "features.duplicates": Default(_FAIL, "two rows of one entity and time: which one is read is chance"),
    "features.values": Default(_FAIL, "no value, or an infinite one, teaches nothing"),
    "features.constant": Default(_WARN, "a constant column is useless, not harmful"),
    "features.entities": Default(_FAIL, "features of entities that the source does not have are never read"),
    "features.time-zone": Default(_FAIL, "a shifted clock lets a row read its own future"),
    "features.mutation": Default(_FAIL, "who changes its input changes what the next feature reads"),
    "features.clock": Default(_FAIL, "what asks for the present time differs between training and request"),
    "features.deterministic": Default(_FAIL, "the same rows must give the same features"),
    "features.other-process": Default(_FAIL, "the service is another process, where strings hash otherwise"),
    "features.row-order": Default(_FAIL, "the order of rows is chance"),
    "features.look-ahead": Default(_FAIL, "later events are not known at the request"),
    "features.known-ahead": Default(_FAIL, "a row that arrived late was not there for the requests before"),
    "features.restated": Default(_WARN, "training does not see what the requests of that time saw"),
    "features.separable": Default(_WARN, "a view that needs all entities at once needs memory for all of them"),
    "features.window": Default(_FAIL, "computed in parts, its rows would lack what is older than the window"),
    "features.label-delay": Default(_FAIL, "labels that are not known yet are not known at the request"),
    "features.row-wise": Default(_FAIL, "at the request a row comes alone"),
    "features.pinned": Default(
        _FAIL, "a release that can be returned to must find its features as they were; a lost one warns", graded=True
    ),
    "features.missing": Default(_FAIL, "a new customer has no stored features"),
    "features.declared": Default(_WARN, "a project without features has nothing to test, and says so"),
    "training-set.label": Default(_FAIL, "nothing can be learnt from a label that never changes"),
    "training-set.rows": Default(_FAIL, "too few rows teach chance, and decide nothing"),
    "training-set.classes": Default(_FAIL, "a class that is on one side only is never learnt or never judged"),
    "training-set.copies": Default(_FAIL, "a column that repeats the label will not be known at the request"),
    "training-set.coverage": Default(_FAIL, "rows that find no stored features; it warns above a half", graded=True),
    "training-set.left-out.undated": Default(_WARN, "rows without a time cannot be placed before or after others"),
    "training-set.left-out.unlabelled": Default(_WARN, "rows without a label, told so that they are not missed"),
    "training-set.left-out.immature": Default(_WARN, "rows whose label is not final yet, as declared"),
    "training-set.left-out.gap": Default(_WARN, "rows whose label was not known when the holdout began, as declared"),
    "training-set.reviewed": Default(_WARN, "labels that people corrected or confirmed, told so that they are known"),
    "train.ran": Default(_FAIL, "the function returned no model"),
    "train.fitted": Default(_FAIL, "the model is not fitted on the labels that it was given"),
    "train.finite": Default(_FAIL, "NaN is no answer"),
    "train.convergence": Default(_FAIL, "coefficients that were still moving are chance"),
    "train.saved": Default(_FAIL, "a file that needs code to load, or answers otherwise, is not the judged model"),
    "schema.file": Default(_FAIL, "without a schema nothing can be called skew"),
    "schema.column": Default(_FAIL, "a feature that reads the column breaks, or sees nulls"),
    "schema.unexpected": Default(_FAIL, "a renamed column shows as a missing and an unexpected one"),
    "schema.type": Default(_FAIL, "a number that became text is encoded as something else"),
    "schema.range": Default(_FAIL, "a value out of range is a unit jump or a broken sensor, and models extrapolate"),
    "schema.category": Default(_FAIL, "an encoder has never seen the value"),
    "schema.presence": Default(_FAIL, "values went missing that never did before"),
    "schema.unit": Default(_FAIL, "every value is wrong, though each may look right"),
    "schema.encoding": Default(_FAIL, "letters read in another encoding make one category two"),
    "schema.unique": Default(_FAIL, "a key that repeats multiplies rows in every join"),
    "schema.empty": Default(_FAIL, "nothing was delivered"),
    "schema.order": Default(_FAIL, "time ran backwards in a table that was in order"),
    "schema.constraint": Default(_FAIL, "whoever wrote the constraint meant it"),
    "data.label": Default(_FAIL, "nothing can be learnt from a label that never changes"),
    "data.sides": Default(_WARN, "a feed that began or stopped in between; the model decides whether it matters"),
    "data.label_noise": Default(
        _WARN, "wrong labels teach wrong answers, but only a person can tell them from rare ones"
    ),
    "data.value_skew": Default(_RETRAIN, "the world moved: the remedy is training, not stopping the data"),
    "model.floor": Default(_FAIL, "the promise that the model is good enough at all"),
    "model.baseline": Default(_FAIL, "a constant answer is cheaper, and no worse"),
    "model.champion": Default(_FAIL, "a release must not be worse than the one it replaces"),
    "model.finite": Default(_FAIL, "NaN is no answer"),
    "model.leakage": Default(_FAIL, "one feature alone that knows the answer will not know it in production"),
    "model.overfit": Default(_WARN, "many sound models (forests, boosting) remember their rows; the holdout decides"),
    "model.underfit": Default(
        _WARN, "what it has not learnt on its own rows it will not know on others; weak is honest"
    ),
    "model.calibration": Default(
        _FAIL, "whoever sets a limit reads the probabilities; without one it warns", graded=True
    ),
    "model.identifier": Default(
        _FAIL,
        "a key or a date that tells the label teaches nothing about new rows; where it only stands there, it warns",
        graded=True,
    ),
    "model.segment": Default(_WARN, "a weak segment is for a person to weigh; few rows make it noisy"),
    "model.weak-segment": Default(_WARN, "where the model errs and does not know it; a person weighs what is missing"),
    "model.consistency": Default(_WARN, "better on the whole, worse for some: a person weighs it"),
    "model.fairness": Default(_FAIL, "whoever protects a group means it; without a limit nothing is protected"),
    "package.parity": Default(_FAIL, "what is served must answer as what was judged"),
    "package.form": Default(_FAIL, "ONNX was demanded and cannot be had; else it warns", graded=True),
    "package.golden": Default(_FAIL, "a request must get the answer that its row got in the training table"),
    "service.boot": Default(_FAIL, "what does not start serves nobody"),
    "service.golden": Default(_FAIL, "what is served must answer as what was packaged"),
    "service.malformed": Default(_FAIL, "a request that is not understood must be refused, not guessed"),
    "service.errors": Default(_FAIL, "a request under load went unanswered"),
    "service.latency": Default(_FAIL, "slower than was promised"),
    "service.throughput": Default(_FAIL, "fewer requests a second than were promised"),
    "service.memory": Default(_FAIL, "more memory than is declared; skipped where none is"),
    "service.champion": Default(
        _FAIL,
        "surely more than `slower` times as slow as the release that serves now, in turn on the same machine; "
        "skipped where none is live",
    ),
    "canary.ready": Default(_FAIL, "what a worker cannot hold answers nobody"),
    "canary.errors": Default(_FAIL, "more requests fail than with the live release"),
    "canary.refusals": Default(_FAIL, "callers are refused whom the live release answers"),
    "canary.non-finite": Default(_FAIL, "NaN is no answer"),
    "canary.latency": Default(_FAIL, "callers wait who did not wait before"),
    "canary.predictions": Default(_FAIL, "answers so different are a fault more often than a finding"),
    "canary.workers": Default(_FAIL, "whoever dies takes requests along"),
    "canary.shadow": Default(_FAIL, "it fails what the live release answers"),
    "canary.difference": Default(_WARN, "another model answers otherwise; a person weighs whether it should"),
    "experiment.assignment": Default(_FAIL, "arms that were not dealt as was meant differ in more than the model"),
    "experiment.labels": Default(_FAIL, "labels that are lost in one arm are not lost by chance"),
    "experiment.effect": Default(_FAIL, "a challenger goes live for being better, not for having run"),
    "outcomes.joined": Default(_FAIL, "without outcomes nobody knows how good the answers were"),
    "outcomes.label": Default(_FAIL, "a label that the model does not know is about something else, or misspelt"),
    "outcomes.conflicting": Default(_FAIL, "a decision has one outcome; of two that differ one is wrong"),
    "outcomes.duplicate": Default(_WARN, "what is there twice counts once"),
    "outcomes.repeated": Default(_WARN, "a caller that asks again with the same id asks the same"),
    "outcomes.rows": Default(_WARN, "which row an outcome is of cannot be guessed"),
    "service.features": Default(_FAIL, "a model that reads other values online than it learnt from is another model"),
    "service.inputs": Default(_FAIL, "a request alone must give the model what its row gave it in training"),
    "service.parity": Default(_FAIL, "the running service must answer as the model answered in training"),
    "monitor.ready": Default(_FAIL, "a service that is not ready answers nobody"),
    "monitor.workers": Default(_FAIL, "a worker that serves another release answers as if nothing had been deployed"),
    "monitor.errors": Default(_FAIL, "requests fail; too few to tell are told, and stop nothing", graded=True),
    "monitor.refusals": Default(
        _FAIL, "a caller sends what the contract does not allow: that is schema skew", graded=True
    ),
    "monitor.latency": Default(_FAIL, "callers wait longer than was promised", graded=True),
    "monitor.features": Default(_FAIL, "a model that reads nothing of its features is another model"),
    "monitor.disk": Default(_FAIL, "a full disk ends the decision log and every deployment"),
    "monitor.performance": Default(
        _FAIL, "too few labels to tell are no pass; a model that is surely worse asks for a retrain", graded=True
    ),
    "monitor.floor": Default(
        _FAIL, "the promise that the model is good enough at all does not hold any more", graded=True
    ),
    "monitor.drift": Default(
        _RETRAIN, "what it is given is not what it learnt; where labels show that it bears it, it warns", graded=True
    ),
    "monitor.predictions": Default(_WARN, "answers follow the inputs, and those follow seasons"),
    "monitor.labels": Default(
        _RETRAIN, "a label that it cannot answer; one that is more or less common than it was warns", graded=True
    ),
}
"""Our own checks by name; a new check adds its row here and in docs/gates.md."""

OWN = Default(_FAIL, "whoever declared the check meant it")
"""What a user's own check does, `own.NAME`."""

FINAL: dict[str, str] = {
    "train.ran": "there is no model to go on with",
    "train.fitted": "there is no model to go on with",
    "train.finite": "there is no model to go on with",
    "train.saved": "a file that our loader refuses could run code, or is not the model that was judged",
    "model.finite": "an answer that is no number is no answer, and the service would have to refuse it",
    "package.parity": 'what would be served is not what was judged; form = "skops" serves the model itself',
    "package.golden": "a release that does not answer its golden requests is refused wherever it is loaded",
    "service.boot": "what does not start cannot be deployed",
    "service.golden": "a release that does not answer its golden requests is refused wherever it is loaded",
}
"""Checks that nobody can soften or override, and why: they prove that what serves is what was judged."""

GATES = {
    "check-features": ("features",),
    "check-data": ("schema", "data", "deepchecks.integrity", "deepchecks.train_test"),
    "assemble": ("training-set",),
    "train": ("train",),
    "check-model": ("model", "deepchecks.model_evaluation"),
    "package": ("package",),
    "check-service": ("service",),
    "deploy": ("canary",),
    "monitor": ("monitor", "outcomes"),
    "experiment": ("experiment",),
}
"""Each gate by the step's name, with the families of its checks; a user's own checks are in any."""


def apply(findings: Iterable[Finding], overrides: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The findings with the severities of the configuration; ConfigError for a check that does not exist.

    A check that did not run stops whatever its default, unless the configuration names it.
    """
    validate(overrides)
    return tuple(_judged(finding, overrides) for finding in findings)


def validate(overrides: Mapping[str, Any], own: Iterable[str] | None = None) -> None:
    """ConfigError where `[tool.mlops.severity]` names a check that does not exist, or that is final.

    `own` are the names of the declared checks; None where they are not known, and then any `own.NAME` is taken.
    """
    known = known_checks()
    declared = None if own is None else {f"own.{name}" for name in own}
    for name in overrides:
        if name in FINAL:
            raise ConfigError(
                f"[tool.mlops.severity] {name!r} cannot be changed: {FINAL[name]}", next_step="remove the line"
            )
        if name in known or (name.startswith("own.") and (declared is None or name in declared)):
            continue
        step = nearest(name, {*known, *(declared or ())} - FINAL.keys())
        raise ConfigError(f"[tool.mlops.severity] names an unknown check {name!r}", next_step=step)


def relevant(overrides: Mapping[str, Any], gate: str) -> dict[str, Any]:
    """The part of `[tool.mlops.severity]` that a gate reads: it belongs to the key of its step."""
    families = (*GATES.get(gate, ()), "own")
    return {name: value for name, value in overrides.items() if name.startswith(tuple(f"{f}." for f in families))}


def known_checks() -> dict[str, Default]:
    """Every check by name, with its default."""
    theirs = {spec.name: Default(spec.severity, spec.why) for spec in SPECS}
    return {**OURS, **theirs}


def _judged(finding: Finding, overrides: Mapping[str, Any]) -> Finding:
    if finding.check in overrides:
        return dataclasses.replace(finding, severity=Severity(overrides[finding.check]))
    if finding.outcome is Outcome.NOT_RUN:
        return dataclasses.replace(finding, severity=Severity.FAIL)
    default = known_checks().get(finding.check)
    if default is None or default.graded:  # a user's own findings say themselves how bad they are
        return finding
    return dataclasses.replace(finding, severity=default.severity)
