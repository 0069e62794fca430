"""A training set that cannot teach, or that tells the answer."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.faults.columns import as_number
from mlops.gates import training_set as gate
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

_FEW = 3
"""Rows of each side that are too few under any sensible setting."""


def cases(bench: Bench) -> Generator[Case]:
    """Labels that teach nothing, sides that lack rows or a class, a join that leaks, and the table as it is."""
    model, contract, settings = bench.model, bench.contract, bench.settings
    train, holdout = bench.train[contract.label], bench.holdout[contract.label]
    columns = [column.name for column in contract.columns]

    def judge_label(labels: pd.Series) -> list[Finding]:
        return [gate.judge_label(model, labels.dropna(), rows=len(labels))]

    def judge_sides(train: pd.Series, holdout: pd.Series) -> tuple[Finding, ...]:
        return gate.judge_sides(model, train, holdout, contract.classes, settings.min_rows)

    def judge_copies(table: pd.DataFrame, *more: str) -> list[Finding]:
        return [gate.judge_copies(model, table, table[contract.label], [*columns, *more])]

    one, nothing = train.where(train.isna(), train.iloc[0]), train.where(train.isna() & False)
    leaking = bench.train.assign(__joined=as_number(train) * 2 + 1)
    yield Case(fault="a label of one value", check="training-set.label", judge=lambda: judge_label(one))
    yield Case(fault="a label that never came", check="training-set.label", judge=lambda: judge_label(nothing))
    yield Case(
        fault=f"{2 * _FEW} rows in all",
        check="training-set.rows",
        judge=lambda: judge_sides(train.head(_FEW), holdout.head(_FEW)),
        setting=f"[tool.mlops.models.{model.family}] min_rows = {settings.min_rows}",
    )
    yield Case(fault="nothing held out", check="training-set.rows", judge=lambda: judge_sides(train, holdout.head(0)))
    if contract.classes:
        lost = holdout[holdout != contract.classes[0]]
        yield Case(
            fault="a class is not held out", check="training-set.classes", judge=lambda: judge_sides(train, lost)
        )
    yield Case(
        fault="a join that brings the label along",
        check="training-set.copies",
        judge=lambda: judge_copies(leaking, "__joined"),
    )
    yield Case(
        fault="a join that finds nothing",
        check="training-set.coverage",
        judge=lambda: gate.judge_coverage(model, {"a view": 1.0}, rows=len(bench.train)),
    )
    yield sound(lambda: [*judge_label(train), *judge_sides(train, holdout), *judge_copies(bench.train)])
