"""A fit that went wrong: no model, another task's labels, answers that are no numbers, no convergence, no saving."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from typing import Any

import numpy as np

from mlops.adapters import models
from mlops.contract import model_inputs
from mlops.errors import GateFailed
from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.faults.columns import SHARE
from mlops.gates import training as gate
from mlops.serving.predictors import answers
from mlops.verdict import Finding, Severity

_ROWS = 500


def cases(bench: Bench) -> Generator[Case]:
    """Each way in which a fit fails, and the user's own model."""
    contract, who = bench.contract, bench.model.name
    severity = Severity(bench.config.severity.get(gate.CONVERGED, Severity.FAIL))

    def judge_kind(estimator: Any) -> list[Finding]:
        return _found(gate.judge_kind(estimator, contract, who), gate.RAN)

    def judge_answers(values: Any, probabilities: Any) -> list[Finding]:
        return _found(gate.judge_answers(values, probabilities, contract, who), gate.FINITE)

    def judge_convergence(estimator: Any) -> list[Finding]:
        return [gate.judge_convergence(estimator, [], who, severity)]

    def judge_saving(estimator: Any) -> list[Finding]:
        try:
            models.loads(models.dump(estimator), trusted=bench.config.package.trusted)
        except GateFailed as error:
            return [gate.failure(gate.SAVED, error.message, error.next_step)]
        return [gate.passed(gate.SAVED, "saved without code")]

    said = answers(bench.estimator, model_inputs(bench.train.head(_ROWS), contract), contract)
    numbers = said.values if said.probabilities is None else said.probabilities
    broken = np.where((np.arange(len(numbers)) % SHARE == 0).reshape(-1, *[1] * (numbers.ndim - 1)), np.nan, numbers)
    strange = np.array(["no such label"] * len(said.values), dtype=object)
    yield Case(fault="the function returns nothing", check=gate.RAN, judge=lambda: judge_kind(None))
    if not contract.classes or said.probabilities is not None:
        given = (broken, None) if not contract.classes else (said.values, broken)
        yield Case(fault="NaN in every tenth answer", check=gate.FINITE, judge=lambda: judge_answers(*given))
    if contract.classes:
        yield Case(fault="answers that are no label", check=gate.FITTED, judge=lambda: judge_answers(strange, None))
    yield Case(
        fault="NaN weights",
        check=gate.FINITE,
        judge=lambda: _found(gate.judge_coefficients(_linear(bench, broken=True), who), gate.FINITE),
    )
    yield Case(
        fault="one iteration where a hundred are needed",
        check=gate.CONVERGED,
        judge=lambda: judge_convergence(_linear(bench)),
    )
    yield Case(fault="a function without a name", check=gate.SAVED, judge=lambda: judge_saving(_nameless()))
    yield sound(
        lambda: [
            *judge_kind(bench.estimator),
            *judge_answers(said.values, said.probabilities),
            *_found(gate.judge_coefficients(bench.estimator, who), gate.FINITE),
            *judge_convergence(bench.estimator),
            *judge_saving(bench.estimator),
        ]
    )


def _found(finding: Finding | None, check: str) -> list[Finding]:
    return [gate.passed(check, "nothing wrong")] if finding is None else [finding]


def _nameless() -> Any:
    from sklearn.preprocessing import FunctionTransformer

    return FunctionTransformer(lambda rows: rows)


def _linear(bench: Bench, *, broken: bool = False) -> Any:
    """A linear model that had one iteration only, or whose weights are NaN."""
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(bench.seed)
    X = random.normal(size=(_ROWS, 5)) * [1, 10, 100, 1000, 10_000]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = LogisticRegression(max_iter=1).fit(X, (X.sum(axis=1) > 0).astype(int))
    if broken:
        fitted.coef_ = np.full_like(fitted.coef_, np.nan)
    return fitted
