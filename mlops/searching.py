"""The best parameters of a model within its budget: trials, each a fit on some rows that others judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mlops.adapters import trials, tuning
from mlops.config import Engine, ModelSettings
from mlops.errors import GateFailed, MlopsError
from mlops.fitting import Job, Rows, Stopped, answered, fit, score_of
from mlops.gates import training
from mlops.parts.code import Place, declared_at, place_of
from mlops.parts.computing import Failed
from mlops.statistics.split import contents
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

_INNER = 0.2
"""The share of the training rows on which a search compares parameters."""


def search(
    job: Job,
    rows: Rows,
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
    failures: list[Stopped] = []
    trial = _Trial(job, inner, outer, fixed)

    def kept(score: float | Finding) -> float:
        if isinstance(score, Finding):
            failures.append(Stopped(score))
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
        raise failures[0] if failures else Stopped(_no_score(job))
    return found


@dataclass(frozen=True, slots=True)
class _Trial:
    """What the trials of one search share: the rows to fit on, those to compare on, and the fixed parameters."""

    job: Job
    inner: Rows
    outer: Rows
    fixed: Mapping[str, Any]

    def score(self, params: dict[str, Any]) -> float | Finding:
        """The metric with these parameters, or what stopped the fit."""
        try:
            fitted = fit(self.job, self.inner, {**self.fixed, **params, "seed": self.job.seed})
            return score_of(answered(self.job, fitted.estimator, self.outer.X), self.outer.y, self.job.contract)
        except Stopped as stopped:
            return stopped.finding

    def calling(self, function: Callable[..., Any]) -> _Trial:
        """The same trial of another function."""
        return replace(self, job=replace(self.job, model=replace(self.job.model, function=function)))


@contextmanager
def _runner(trial: _Trial, engine: Engine) -> Iterator[Callable[[Sequence[dict[str, Any]]], list[float | Finding]]]:
    """Scores several parameters: side by side where that is set, by processes that find the function by its name."""
    if engine.trials_at_once == 1:
        yield lambda batch: [trial.score(params) for params in batch]
        return
    place = place_of(trial.job.model, trial.job.root)
    sent = trial.calling(len)  # the user's function does not travel: it is found by its name where it arrives
    with trials.runner(engine.tuning, engine.address) as run:
        yield lambda batch: [_arrived(score) for score in run(partial(_elsewhere, place, sent), batch)]


def _elsewhere(place: Place, trial: _Trial, params: dict[str, Any]) -> float | Finding | Failed:
    """A score in another process; errors come as values, so that they arrive whole."""
    try:
        model = declared_at(place)
        return trial.calling(model.function).score(params)
    except MlopsError as error:
        return Failed(message=error.message, next_step=error.next_step, gate=isinstance(error, GateFailed))


def _arrived(score: float | Finding | Failed) -> float | Finding:
    if isinstance(score, Failed):
        raise score.error()
    return score


def _no_score(job: Job) -> Finding:
    return training.failure(
        training.RAN,
        f"{job.who}: no trial of the search has a {job.contract.metric}: the rows set aside for it lack a class",
        "collect more rows, or set trials = 0",
    )


def _split(job: Job, table: pd.DataFrame, entity: str | None) -> tuple[Any, Any]:
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
