"""`train`: a fitted estimator out of the user's function, tuned within its budget, saved without code in it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlops.adapters import models, trials, tuning, user_code
from mlops.config import Engine, ModelSettings
from mlops.contract import Contract, model_inputs
from mlops.declare import Model
from mlops.errors import GateFailed, MlopsError
from mlops.gates import training
from mlops.parts.code import Place, declared_at, place_of
from mlops.parts.computing import Failed
from mlops.serving.predictors import Prediction, answers
from mlops.statistics import metrics
from mlops.statistics.split import contents
from mlops.verdict import Finding, Record, Severity, Verdict
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

VERSION = 2

_INNER = 0.2
"""The share of the training rows on which a search compares parameters."""

_ROWS_COMPARED = 1000
"""Training rows on which the saved model must answer like the one in memory."""


class _Stopped(Exception):
    """The fit ends here, with a finding that says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass(frozen=True, slots=True)
class _Rows:
    """Inputs (rows x columns) and labels, with equal RangeIndexes."""

    X: pd.DataFrame
    y: pd.Series

    def take(self, positions: Any) -> _Rows:
        """The rows at these positions."""
        return _Rows(self.X.iloc[positions].reset_index(drop=True), self.y.iloc[positions].reset_index(drop=True))


@dataclass(frozen=True, slots=True)
class _Job:
    """What every fit of one training shares."""

    model: Model
    contract: Contract
    seed: int
    root: Path

    @property
    def place(self) -> str:
        """Where the function stands."""
        return str(self.model.origin)

    @property
    def who(self) -> str:
        """The function, with its file and line."""
        return f"{self.model.name} ({self.place})"


@dataclass(frozen=True, slots=True)
class _Fitted:
    """What a fit gave: the estimator, its answers for the rows it was fitted on, and its warnings."""

    estimator: Any
    answers: Prediction
    warned: tuple[str, ...]
    seconds: float


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
    rows = _Rows(model_inputs(table, contract).reset_index(drop=True), table[contract.label].reset_index(drop=True))
    job = _Job(model, contract, seed, workspace.root)
    try:
        found = _search(job, rows, table, settings, workspace.config.engine, progress)
        params = {**model.params, **settings.params, **(found.params if found else {}), "seed": seed}
        fitted = _fit(job, rows, params)
        data, reloaded = _saved(job, fitted, rows, workspace.config.package.trusted)
    except _Stopped as stopped:
        return _record(job, [stopped.finding], settings)
    severity = Severity(workspace.config.severity.get(training.CONVERGED, Severity.FAIL))
    converged = training.judge_convergence(fitted.estimator, fitted.warned, job.who, severity)
    score = _score(fitted.answers, rows.y, contract)
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
    job: _Job,
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


def _passes(job: _Job, count: int) -> list[Finding]:
    return [
        training.passed(training.RAN, f"{job.model.name} returned a model"),
        training.passed(training.FITTED, "it is fitted"),
        training.passed(training.FINITE, f"its answers for {count} training rows are finite"),
    ]


# -- one fit ------------------------------------------------------------------------------------------------------


def _fit(job: _Job, rows: _Rows, params: Mapping[str, Any]) -> _Fitted:
    """Call the user's function, seeded, and look at what it returned; raises _Stopped with the finding."""
    started = time.perf_counter()
    try:
        estimator, warned = user_code.call(job.model, rows.X.copy(), rows.y.copy(), dict(params), seed=job.seed)
    except (Exception, SystemExit) as error:
        raise _Stopped(_raised(job, error)) from error
    seconds = time.perf_counter() - started
    _stop_on(training.judge_kind(estimator, job.contract, job.who))
    predicted = _answered(job, estimator, rows.X)
    _stop_on(training.judge_answers(predicted.values, predicted.probabilities, job.contract, job.who))
    _stop_on(training.judge_coefficients(estimator, job.who))
    _stop_on(training.judge_probabilities(predicted.probabilities, job.contract, job.who))
    return _Fitted(estimator, predicted, warned, seconds)


def _raised(job: _Job, error: BaseException) -> Finding:
    where = user_code.innermost(error, job.root) or job.place
    text = " ".join(str(error).split())
    return training.failure(
        training.RAN,
        f"{job.who} raised {type(error).__name__} at {where}" + (f": {text[:300]}" if text else ""),
        f"mend {where}; try it alone with `mlops train {job.model.name}`",
    )


def _answered(job: _Job, estimator: Any, X: pd.DataFrame) -> Prediction:
    from sklearn.exceptions import NotFittedError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return answers(estimator, X, job.contract)
    except NotFittedError as error:
        step = "call .fit(X, y) before you return it"
        raise _Stopped(
            training.failure(training.FITTED, f"{job.who} returned an estimator without fitting it", step)
        ) from error
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        message = (
            f"{job.who} returned a model that cannot predict its own training rows: {type(error).__name__}: {text}"
        )
        step = "it must take the X that the function was given"
        raise _Stopped(training.failure(training.FITTED, message, step)) from error


def _stop_on(finding: Finding | None) -> None:
    if finding is not None:
        raise _Stopped(finding)


def _saved(job: _Job, fitted: _Fitted, rows: _Rows, trusted: tuple[str, ...]) -> tuple[bytes, Finding]:
    """The skops file, loaded again and found to answer alike; raises _Stopped with the finding."""
    import numpy as np

    try:
        data = models.dump(fitted.estimator)
        again = answers(models.loads(data, trusted=trusted), rows.X.head(_ROWS_COMPARED), job.contract)
    except GateFailed as error:
        raise _Stopped(training.failure(training.SAVED, f"{job.who}: {error.message}", error.next_step)) from error
    before = np.asarray(fitted.answers.values)[:_ROWS_COMPARED]
    if not np.array_equal(again.values, before):
        message = f"{job.who}: the saved model answers otherwise than the one in memory"
        step = "keep everything that predict needs in attributes of scikit-learn estimators"
        raise _Stopped(training.failure(training.SAVED, message, step))
    return data, training.passed(training.SAVED, f"saved without code, {len(data) / 1024:.0f} KiB, answers as before")


@dataclass(frozen=True, slots=True)
class _Trial:
    """What the trials of one search share: the rows to fit on, those to compare on, and the fixed parameters."""

    job: _Job
    inner: _Rows
    outer: _Rows
    fixed: Mapping[str, Any]

    def score(self, params: dict[str, Any]) -> float | Finding:
        """The metric with these parameters, or what stopped the fit."""
        try:
            fitted = _fit(self.job, self.inner, {**self.fixed, **params, "seed": self.job.seed})
            return _score(_answered(self.job, fitted.estimator, self.outer.X), self.outer.y, self.job.contract)
        except _Stopped as stopped:
            return stopped.finding


# -- the search ---------------------------------------------------------------------------------------------------


def _search(
    job: _Job,
    rows: _Rows,
    table: pd.DataFrame,
    settings: ModelSettings,
    engine: Engine,
    progress: Callable[[str], None],
) -> tuning.Found | None:
    """The best parameters within the budget; None where no search is declared or wanted."""
    if not job.model.search or not settings.trials:
        return None
    inner, outer = (rows.take(side) for side in _split(job, table, settings.split_column))
    fixed = {**job.model.params, **settings.params}
    failures: list[_Stopped] = []

    trial = _Trial(job, inner, outer, fixed)

    def kept(score: float | Finding) -> float:
        if isinstance(score, Finding):
            failures.append(_Stopped(score))
            return float("nan")
        return score

    def together(_: tuning.Objective, batch: Sequence[dict[str, Any]]) -> list[float]:
        return [kept(score) for score in run(batch)]

    with _runner(trial, engine) as run:
        found = tuning.search(
            job.model.search,
            lambda params: kept(trial.score(params)),
            budget=tuning.Budget(trials=settings.trials, seconds=settings.seconds),
            seed=job.seed,
            first=fixed,
            progress=progress,
            at_once=engine.trials_at_once,
            together=together,
        )
    if found is None:
        raise failures[0] if failures else _Stopped(_no_score(job))
    return found


@contextmanager
def _runner(trial: _Trial, engine: Engine) -> Iterator[Callable[[Sequence[dict[str, Any]]], list[float | Finding]]]:
    """Scores several parameters: side by side where that is set, by processes that find the function by its name."""
    if engine.trials_at_once == 1:
        yield lambda batch: [trial.score(params) for params in batch]
        return
    place = place_of(trial.job.model, trial.job.root)
    sent = replace(trial, job=replace(trial.job, model=replace(trial.job.model, function=len)))
    with trials.runner(engine.tuning, engine.address) as run:
        yield lambda batch: [_arrived(score) for score in run(partial(_elsewhere, place, sent), batch)]


def _elsewhere(place: Place, trial: _Trial, params: dict[str, Any]) -> float | Finding | Failed:
    """A score in another process; errors come as values, so that they arrive whole."""
    try:
        model = declared_at(place)
        return replace(trial, job=replace(trial.job, model=replace(trial.job.model, function=model.function))).score(
            params
        )
    except MlopsError as error:
        return Failed(message=error.message, next_step=error.next_step, gate=isinstance(error, GateFailed))


def _arrived(score: float | Finding | Failed) -> float | Finding:
    if isinstance(score, Failed):
        raise score.error()
    return score


def _no_score(job: _Job) -> Finding:
    return training.failure(
        training.RAN,
        f"{job.who}: no trial of the search has a {job.contract.metric}: the rows set aside for it lack a class",
        "collect more rows, or set trials = 0",
    )


def _split(job: _Job, table: pd.DataFrame, entity: str | None) -> tuple[Any, Any]:
    """Positions to fit on and positions to compare on: other entities where asked, the newest rows, else at random."""
    import numpy as np
    from sklearn.model_selection import train_test_split

    labels = table[job.contract.label].to_numpy()
    if entity is not None:
        # Another hash than that of the held-out rows, which would put every entity that is left on one side.
        apart = contents(table.assign(__inner=1.0), [entity, "__inner"]) < np.uint64(int(_INNER * 2**64))
        if apart.any() and not apart.all():
            return np.flatnonzero(~apart), np.flatnonzero(apart)
    if job.contract.timestamp is not None:
        order = np.argsort(table[job.contract.timestamp].to_numpy(), kind="stable")
        cut = int(len(order) * (1 - _INNER))
        if job.contract.task == "regression" or set(labels[order[:cut]]) >= set(labels[order[cut:]]):
            return order[:cut], order[cut:]
    balanced = job.contract.task != "regression" and min(np.unique(labels, return_counts=True)[1]) > 1
    sides = train_test_split(
        np.arange(len(labels)), test_size=_INNER, random_state=job.seed, stratify=labels if balanced else None
    )
    return sides[0], sides[1]


def _score(predicted: Prediction, y: pd.Series, contract: Contract) -> float:
    return metrics.score(contract.metric, y, predicted.values, predicted.probabilities, contract.classes)


def _of_search(found: tuning.Found | None) -> dict[str, float]:
    return {"trials": float(found.trials), "search_score": found.score} if found else {"trials": 0.0}


def _described(estimator: Any) -> str:
    steps = getattr(estimator, "steps", None)
    if not steps:
        return type(estimator).__name__
    return " > ".join(type(step).__name__ for _, step in steps)
