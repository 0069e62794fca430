"""One fit of the user's function: called, seeded, looked at, and saved as a file without code in it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.adapters import models, user_code
from mlops.contract import Contract
from mlops.declare import Model
from mlops.errors import GateFailed
from mlops.gates import training
from mlops.serving.predictors import Prediction, answers
from mlops.statistics import metrics
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

_ROWS_COMPARED = 1000
"""Training rows on which the saved model must answer like the one in memory."""


class Stopped(Exception):
    """The fit ends here, with a finding that says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass(frozen=True, slots=True)
class Rows:
    """Inputs (rows x columns) and labels, with equal RangeIndexes."""

    X: pd.DataFrame
    y: pd.Series

    def take(self, positions: Any) -> Rows:
        """The rows at these positions."""
        return Rows(self.X.iloc[positions].reset_index(drop=True), self.y.iloc[positions].reset_index(drop=True))


@dataclass(frozen=True, slots=True)
class Job:
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
class Fitted:
    """What a fit gave: the estimator, its answers for the rows it was fitted on, and its warnings."""

    estimator: Any
    answers: Prediction
    warned: tuple[str, ...]
    seconds: float


def fit(job: Job, rows: Rows, params: Mapping[str, Any]) -> Fitted:
    """Call the user's function, seeded, and look at what it returned; raises Stopped with the finding."""
    started = time.perf_counter()
    try:
        estimator, warned = user_code.call(job.model, rows.X.copy(), rows.y.copy(), dict(params), seed=job.seed)
    except (Exception, SystemExit) as error:
        raise Stopped(_raised(job, error)) from error
    seconds = time.perf_counter() - started
    _stop_on(training.judge_kind(estimator, job.contract, job.who))
    predicted = answered(job, estimator, rows.X)
    _stop_on(training.judge_answers(predicted.values, predicted.probabilities, job.contract, job.who))
    _stop_on(training.judge_coefficients(estimator, job.who))
    _stop_on(training.judge_probabilities(predicted.probabilities, job.contract, job.who))
    return Fitted(estimator, predicted, warned, seconds)


def _raised(job: Job, error: BaseException) -> Finding:
    where = user_code.innermost(error, job.root) or job.place
    text = " ".join(str(error).split())
    return training.failure(
        training.RAN,
        f"{job.who} raised {type(error).__name__} at {where}" + (f": {text[:300]}" if text else ""),
        f"mend {where}; try it alone with `mlops train {job.model.name}`",
    )


def answered(job: Job, estimator: Any, X: pd.DataFrame) -> Prediction:
    """What an estimator says of rows; raises Stopped with the finding where it cannot."""
    from sklearn.exceptions import NotFittedError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return answers(estimator, X, job.contract)
    except NotFittedError as error:
        step = "call .fit(X, y) before you return it"
        raise Stopped(
            training.failure(training.FITTED, f"{job.who} returned an estimator without fitting it", step)
        ) from error
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        message = (
            f"{job.who} returned a model that cannot predict its own training rows: {type(error).__name__}: {text}"
        )
        step = "it must take the X that the function was given"
        raise Stopped(training.failure(training.FITTED, message, step)) from error


def _stop_on(finding: Finding | None) -> None:
    if finding is not None:
        raise Stopped(finding)


def saved(job: Job, fitted: Fitted, rows: Rows, trusted: tuple[str, ...]) -> tuple[bytes, Finding]:
    """The skops file, loaded again and found to answer alike; raises Stopped with the finding."""
    import numpy as np

    try:
        data = models.dump(fitted.estimator)
        again = answers(models.loads(data, trusted=trusted), rows.X.head(_ROWS_COMPARED), job.contract)
    except GateFailed as error:
        raise Stopped(training.failure(training.SAVED, f"{job.who}: {error.message}", error.next_step)) from error
    before = np.asarray(fitted.answers.values)[:_ROWS_COMPARED]
    if not np.array_equal(again.values, before):
        message = f"{job.who}: the saved model answers otherwise than the one in memory"
        step = "keep everything that predict needs in attributes of scikit-learn estimators"
        raise Stopped(training.failure(training.SAVED, message, step))
    return data, training.passed(training.SAVED, f"saved without code, {len(data) / 1024:.0f} KiB, answers as before")


def score_of(predicted: Prediction, y: pd.Series, contract: Contract) -> float:
    """The model's own metric of answers, given the labels."""
    return metrics.score(contract.metric, y, predicted.values, predicted.probabilities, contract.classes)
