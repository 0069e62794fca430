"""Checks of one's own: an expectation that does not hold, and checks that crash or ask for what is not there."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from mlops import expect
from mlops.declare import check
from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.gates import own
from mlops.gates.asking import Predict
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 500


def cases(bench: Bench) -> Generator[Case]:
    """Planted checks on the user's model; and one that the model keeps."""
    if bench.contract.task == "multiclass":
        return
    rows = bench.holdout.head(_ROWS).assign(__person="one")
    predict = Predict(bench.estimator, bench.contract, bench.workspace.catalog.pinned(bench.model)[1])
    if not _numbers(predict, rows):
        return
    values = {"rows": rows, "predict": predict}

    def biased(frame: pd.DataFrame) -> Any:
        said: Any = predict(frame)
        return said + (frame["__person"] == "other").to_numpy() * 1.0

    def run(function: Callable[..., Any], **more: Any) -> list[Finding]:
        return [*own.run(check(on="model")(function), {**values, **more}, subject=bench.model.name)]

    yield Case(
        fault="answers that hang on a person",
        check="own.alike_for_all",
        judge=lambda: run(alike_for_all, predict=biased),
    )
    yield Case(fault="a check that crashes", check="own.crashes", judge=lambda: run(crashes))
    yield Case(fault="a check that says nothing", check="own.says_nothing", judge=lambda: run(says_nothing))
    yield sound(lambda: run(alike_for_all))


def alike_for_all(predict: expect.Predict, rows: pd.DataFrame) -> Finding:
    """That another person gets the same answer."""
    return expect.invariant(predict, rows, change={"__person": "other"})


def crashes(rows: pd.DataFrame) -> Any:
    """Reads a column that is not there."""
    return rows["__no_such_column"]


def says_nothing(rows: pd.DataFrame) -> str:
    """Gives a text, which is neither yes nor no."""
    return f"{len(rows)} rows"


def _numbers(predict: Predict, rows: pd.DataFrame) -> bool:
    import numpy as np

    return bool(np.issubdtype(np.asarray(predict(rows.head(1))).dtype, np.number))
