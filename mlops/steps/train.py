"""`train`: a fitted estimator out of the user's function, tuned within its budget, saved without code in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mlops.adapters import tuning
from mlops.config import ModelSettings
from mlops.contract import Contract, model_inputs
from mlops.declare import Model
from mlops.fitting import Job, Rows, Stopped, fit, saved, score_of
from mlops.gates import training
from mlops.searching import search
from mlops.verdict import Finding, Record, Severity, Verdict
from mlops.workspace import Workspace

VERSION = 2


def train(
    workspace: Workspace,
    *,
    model: Model,
    assembled: Record,
    settings: ModelSettings,
    seed: int,
    progress: Callable[[str], None] = lambda _: None,
) -> Record:
    """The record of a fitted model: output `model` (a skops file), its parameters, and a verdict on the fit.

    A fit that went wrong in the user's function is a verdict of failure without output. DeclarationError
    for a search space that means nothing.
    """
    tuning.check_space(model.search, model.origin)
    contract = msgspec.json.decode(workspace.objects.get(assembled.outputs["contract"]), type=Contract)
    table = workspace.frame(assembled.outputs["train"])
    rows = Rows(model_inputs(table, contract).reset_index(drop=True), table[contract.label].reset_index(drop=True))
    job = Job(model, contract, seed, workspace.root)
    try:
        found = search(job, rows, table, settings, workspace.config.engine, progress)
        params = {**model.params, **settings.params, **(found.params if found else {}), "seed": seed}
        fitted = fit(job, rows, params)
        data, reloaded = saved(job, fitted, rows, workspace.config.package.trusted)
    except Stopped as stopped:
        return _record(job, [stopped.finding], settings)
    severity = Severity(workspace.config.severity.get(training.CONVERGED, Severity.FAIL))
    converged = training.judge_convergence(fitted.estimator, fitted.warned, job.who, severity)
    score = score_of(fitted.answers, rows.y, contract)
    findings = [*_passes(job, len(rows.y)), converged, reloaded]
    return _record(
        job,
        findings,
        settings,
        outputs={"model": workspace.objects.put(data)},
        params=params,
        measured={"train_score": score, "fit_seconds": fitted.seconds, **_of_search(found)},
        estimator=_described(fitted.estimator),
    )


def _record(
    job: Job,
    findings: list[Finding],
    settings: ModelSettings,
    *,
    outputs: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    measured: Mapping[str, float] | None = None,
    estimator: str = "",
) -> Record:
    name = job.model.name
    given = {**job.model.params, **settings.params, "seed": job.seed} if params is None else params
    facts = {"estimator": estimator, "metric": job.contract.metric}
    if measured:
        facts["summary"] = f"{estimator}, {job.contract.metric} {measured['train_score']:.3f} on its own rows"
    return Record(
        step="train",
        subject=name,
        outputs=outputs or {},
        params={key: _plain(value) for key, value in given.items()},
        metrics=measured or {},
        facts=facts,
        verdict=Verdict(gate="train", subject=name, findings=tuple(findings)),
    )


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _passes(job: Job, count: int) -> list[Finding]:
    return [
        training.passed(training.RAN, f"{job.model.name} returned a model"),
        training.passed(training.FITTED, "it is fitted"),
        training.passed(training.FINITE, f"its answers for {count} training rows are finite"),
    ]


def _of_search(found: tuning.Found | None) -> dict[str, float]:
    return {"trials": float(found.trials), "search_score": found.score} if found else {"trials": 0.0}


def _described(estimator: Any) -> str:
    steps = getattr(estimator, "steps", None)
    if not steps:
        return type(estimator).__name__
    return " > ".join(type(step).__name__ for _, step in steps)
