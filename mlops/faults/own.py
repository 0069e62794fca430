"""Checks and tests of one's own: an expectation that does not hold, and those that crash or ask for what is nowhere."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import expect, own_tests
from mlops.declare import check
from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.gates import own
from mlops.gates.asking import Predict, answered
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 500
_TESTS = """
def test_nobody_is_ever_sure(mlops_predictions):
    assert mlops_predictions.empty, f"the model answers {len(mlops_predictions)} rows"


def test_asks_for_what_is_not_there(mlops_rows):
    mlops_rows["__no_such_column"]


def test_every_row_is_answered(mlops_predict, mlops_rows):
    assert len(mlops_predict(mlops_rows)) == len(mlops_rows)
"""


def cases(bench: Bench) -> Generator[Case]:
    """Planted checks on the user's model; and one that the model keeps."""
    yield from _of_tests(bench)
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


def _of_tests(bench: Bench) -> Generator[Case]:
    """A planted file of tests, run by pytest on the user's model: one says no, one crashes, one holds."""
    workspace, material = bench.workspace, bench.material
    with tempfile.TemporaryDirectory(prefix="own-", dir=workspace.scratch) as folder:
        file = Path(folder) / "test_planted.py"
        file.write_text(_TESTS, encoding="utf-8")
        place = file.relative_to(workspace.root).as_posix()

        @cache
        def run() -> tuple[Finding, ...]:
            predictions = workspace.put_frame(answered(bench.holdout, bench.prediction))
            given = own_tests.of_model(workspace, bench.model, material.assembled, bench.digest, predictions)
            return own_tests.run(workspace, given, [place])

        def of(test: str) -> list[Finding]:
            return [found for found in run() if found.check == f"own.{place}::{test}"]

        for fault, test in (
            ("a pytest test that fails", "test_nobody_is_ever_sure"),
            ("a pytest test that crashes", "test_asks_for_what_is_not_there"),
        ):
            yield Case(fault=fault, check=f"own.{place}::{test}", judge=partial(of, test))
        yield sound(lambda: of("test_every_row_is_answered"), "none, in a pytest test")


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
