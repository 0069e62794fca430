"""`check-model`: a trained model's answers on held-out rows, judged alone and beside the champion's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from mlops import own_tests
from mlops.adapters import models
from mlops.adapters.deepchecks import Deepchecks
from mlops.config import ModelSettings
from mlops.contract import Contract, model_inputs
from mlops.declare import Model
from mlops.errors import GateFailed
from mlops.exhibits import OUTPUT, Exhibit, encode
from mlops.gates import close_up, curves, own, questions
from mlops.gates import deepchecks as suites
from mlops.gates import model as gate
from mlops.gates.asking import Predict, answered
from mlops.gates.calibration import judge_calibration
from mlops.gates.comparison import first_release, judge_champion
from mlops.gates.leakage import judge_identifiers, judge_leakage
from mlops.gates.severities import apply
from mlops.refitting import Refittable, rejudged, rows_of
from mlops.serving.predictors import Prediction, answers
from mlops.statistics import sampling
from mlops.statistics.influence import Answers, measure, needs_probabilities
from mlops.verdict import Finding, Record, Verdict
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

VERSION = 2

_AFTER_FINITE = ("floor", "baseline", "overfit", "underfit")


@dataclass(frozen=True, slots=True)
class Champion:
    """The release to compare with: its name, its classes in order, and what it predicts for a table's rows.

    `again` gives its estimator to be fitted anew on some of a table's rows, for cross-validation; it raises
    NotRefitted, as where the training's model is gone.
    """

    release: str
    classes: Sequence[Any]
    predict: Callable[[pd.DataFrame], Prediction]
    again: Callable[[pd.DataFrame], Refittable]


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of the table: its rows (a RangeIndex), the model's inputs, and what the model said of them."""

    table: pd.DataFrame
    inputs: pd.DataFrame
    said: Prediction
    codes: Answers = field(repr=False)


def check_model(
    workspace: Workspace,
    *,
    model: Model,
    assembled: Record,
    trained: Record,
    settings: ModelSettings,
    champion: Champion | None,
    deepchecks: Deepchecks | None,
) -> Record:
    """The verdict over a model; output `predictions` (held-out rows), metrics on the held-out and training rows.

    GateFailed where the model's file is refused, or where it raises on the held-out rows.
    """
    contract = msgspec.json.decode(workspace.objects.get(assembled.outputs["contract"]), type=Contract)
    digest = trained.outputs["model"]
    estimator = models.load(workspace.objects.path(digest), digest=digest, trusted=workspace.config.package.trusted)
    holdout = _side(estimator, workspace.frame(assembled.outputs["holdout"]), contract)
    train = _side(estimator, _sampled(workspace.frame(assembled.outputs["train"]), contract, workspace), contract)
    theirs = _champions(contract, holdout, champion)
    held = _held_out(model, contract, holdout)
    predictions = workspace.put_frame(answered(holdout.table, holdout.said))
    found: list[Finding] = [
        *_judged(model, contract, train, holdout, settings),
        *_compared(contract, holdout, champion, theirs, settings),
        *_close_up(held, champion, theirs, settings, workspace.config.seed),
        *_suite(workspace, contract, train, holdout, deepchecks),
        *_own(workspace, model, holdout, Predict(estimator, contract, workspace.catalog.pinned(model)[1])),
        *own_tests.run(workspace, own_tests.of_model(workspace, model, assembled, digest, predictions)),
    ]
    if settings.evidence == "cross-validation" and not held.problem():
        rows = rows_of(_whole(workspace, assembled), contract, model, settings, workspace.config.seed)
        rival = None if champion is None else (champion.release, champion.again)
        side = Refittable(estimator, model_inputs(rows.table, contract), contract)
        found = rejudged(found, side, rows, settings, rival)
    shown: list[Exhibit] = [*_curves(contract, holdout, champion, theirs), *_shown_close_up(held, settings)]
    shown += _explained(estimator, held, contract, workspace.config.seed)
    findings = apply(found, workspace.config.severity)
    return Record(
        step="check-model",
        subject=model.name,
        outputs={
            "predictions": predictions,
            OUTPUT: workspace.objects.put(encode(shown)),
        },
        metrics={
            **_finite_metrics(contract, holdout),
            **{f"train_{name}": value for name, value in _finite_metrics(contract, train).items()},
            "holdout_rows": float(len(holdout.table)),
        },
        facts={"champion": champion.release if champion else "", "metric": contract.metric},
        verdict=Verdict(gate="check-model", subject=model.name, findings=findings),
    )


def _own(workspace: Workspace, model: Model, holdout: _Side, predict: Predict) -> list[Finding]:
    """The user's own checks: of the held-out `rows`, their `predictions`, what the model would `predict`, its name."""
    checks = [check for check in workspace.catalog.checks.values() if check.on == "model"]
    if not checks:
        return []
    values = {"predictions": answered(holdout.table, holdout.said), "predict": predict, "model": model.name}
    return [
        finding
        for check in checks
        for finding in own.run(check, {"rows": holdout.table.copy(), **values}, subject=model.name)
    ]


def _side(estimator: Any, table: pd.DataFrame, contract: Contract) -> _Side:
    table = table.reset_index(drop=True)
    inputs = model_inputs(table, contract)
    try:
        said = answers(estimator, inputs, contract)
    except Exception as error:
        raise GateFailed(
            f"{contract.model} raised {type(error).__name__} on {len(table):,} rows: {error}",
            next_step="predict these rows in a test; the pipeline must bear unknown categories and missing values",
        ) from error
    return _Side(table, inputs, said, _coded(table[contract.label], said, contract, contract.classes))


def _coded(labels: pd.Series, said: Prediction, contract: Contract, order: Sequence[Any]) -> Answers:
    return gate.coded(labels, said.values, said.probabilities, contract.classes, order)


def _sampled(table: pd.DataFrame, contract: Contract, workspace: Workspace) -> pd.DataFrame:
    labels = table[contract.label] if contract.classes else None
    return table.iloc[sampling.stratified(labels, len(table), questions.SAMPLE, seed=workspace.config.seed)]


def _judged(
    model: Model, contract: Contract, train: _Side, holdout: _Side, settings: ModelSettings
) -> tuple[Finding, ...]:
    finite = gate.judge_finite(holdout.codes.predicted, holdout.codes.probabilities)
    inputs, labels = (train.inputs, holdout.inputs), (train.codes.actual, holdout.codes.actual)
    leakage = [
        *judge_leakage(*inputs, labels, classes=len(contract.classes)),
        *judge_identifiers(*inputs, labels, classes=len(contract.classes)),
    ]
    if finite.fired:
        return (finite, *gate.not_judged("its predictions are no numbers", _AFTER_FINITE), *leakage)
    metric = contract.metric
    if needs_probabilities(metric) and holdout.codes.probabilities is None:
        problem = f"{metric} needs probabilities, and the model gives none (no predict_proba)"
        return (finite, *gate.not_judged(problem, _AFTER_FINITE), *leakage)
    measured = measure(metric, holdout.codes)
    return (
        finite,
        gate.judge_floor(metric, measured, settings.floor, model=model.family),
        gate.judge_baseline(metric, holdout.codes, len(contract.classes), train.codes.actual),
        gate.judge_overfit(metric, measure(metric, train.codes), measured),
        gate.judge_underfit(metric, train.codes, len(contract.classes)),
        judge_calibration(holdout.codes, settings.calibration, model=model.family),
        *leakage,
    )


def _champions(contract: Contract, holdout: _Side, champion: Champion | None) -> Answers | None:
    """What the champion answers on the held-out rows."""
    if champion is None:
        return None
    said = champion.predict(holdout.table)
    return _coded(holdout.table[contract.label], said, contract, champion.classes)


def _compared(
    contract: Contract, holdout: _Side, champion: Champion | None, theirs: Answers | None, settings: ModelSettings
) -> tuple[Finding, ...]:
    if champion is None or theirs is None:
        return (first_release(),)
    if needs_probabilities(contract.metric) and holdout.codes.probabilities is None:
        return gate.not_judged("the model gives no probabilities", ("champion",))
    return (judge_champion(contract.metric, holdout.codes, theirs, margin=settings.margin, release=champion.release),)


def _held_out(model: Model, contract: Contract, holdout: _Side) -> close_up.HeldOut:
    return close_up.HeldOut(
        model=model,
        task=contract.task,
        metric=contract.metric,
        table=holdout.table,
        inputs=holdout.inputs,
        answers=holdout.codes,
    )


def _close_up(
    held: close_up.HeldOut, champion: Champion | None, theirs: Answers | None, settings: ModelSettings, seed: int
) -> tuple[Finding, ...]:
    """Segments, fairness and consistency."""
    problem = held.problem()
    if problem:
        return gate.not_judged(problem, ("segment", *(("fairness",) if held.model.protected else ())))
    found = close_up.judge(held, settings, seed=seed)
    if champion is None or theirs is None:
        return found
    return (*found, *close_up.compare(held, theirs, settings, release=champion.release, seed=seed))


def _shown_close_up(held: close_up.HeldOut, settings: ModelSettings) -> tuple[Exhibit, ...]:
    return () if held.problem() else close_up.show(held, settings)


def _whole(workspace: Workspace, assembled: Record) -> pd.DataFrame:
    import pandas as pd

    sides = [workspace.frame(assembled.outputs[name]) for name in ("train", "holdout")]
    return pd.concat(sides, ignore_index=True)


def _explained(estimator: Any, held: close_up.HeldOut, contract: Contract, seed: int) -> tuple[Exhibit, ...]:
    """Importance and partial dependence; nothing where the answers cannot be judged."""

    def ask(inputs: pd.DataFrame) -> Answers:
        said = answers(estimator, inputs, contract)
        return gate.coded(said.values, said.values, said.probabilities, contract.classes, contract.classes)

    return () if held.problem() else close_up.explain(held, ask, contract.classes, seed=seed)


def _curves(contract: Contract, holdout: _Side, champion: Champion | None, theirs: Answers | None) -> list[Exhibit]:
    """What can be looked at of the answers; nothing where they are no numbers."""
    sides = {curves.CHALLENGER: holdout.codes}
    if champion is not None and theirs is not None:
        sides[champion.release] = theirs
    if any(gate.judge_finite(side.predicted, side.probabilities).fired for side in sides.values()):
        return []
    return curves.of_answers(contract.task, contract.classes, sides)


def _suite(
    workspace: Workspace, contract: Contract, train: _Side, holdout: _Side, deepchecks: Deepchecks | None
) -> tuple[Finding, ...]:
    if deepchecks is None:
        return suites.skipped("model_evaluation", "switched off: [tool.mlops] deepchecks = false")
    if gate.judge_finite(holdout.codes.predicted, holdout.codes.probabilities).fired:
        return suites.skipped("model_evaluation", "the predictions are no numbers, which model.finite says")
    sides = ((side.inputs, side.codes) for side in (train, holdout))
    asked = questions.of_answers(contract, *sides, seed=workspace.config.seed)
    return asked.findings(deepchecks.run(asked))


def _finite_metrics(contract: Contract, side: _Side) -> dict[str, float]:
    if gate.judge_finite(side.codes.predicted, side.codes.probabilities).fired:
        return {}
    return gate.metrics(contract.task, side.codes)
