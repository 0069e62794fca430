"""What a live release was asked and answered, as its decision log has it, with what came of that where it is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import compute

from mlops import champion, decisions, outcomes
from mlops.contract import Contract, model_inputs
from mlops.declare import duration
from mlops.errors import ConfigError
from mlops.release import Manifest
from mlops.serving.decisions import FOLDER
from mlops.serving.predictors import Prediction
from mlops.watched.met import Met, NothingMet
from mlops.workspace import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray


def of_decisions(workspace: Workspace, live: Manifest, environment: str) -> Met:
    """What the live release was asked in an environment, and what it answered, as its decision log has it.

    NothingMet where it has answered nothing since the oldest window that is shown.
    """
    settings = workspace.config.monitor
    reach = duration(settings.window) * settings.windows
    place = workspace.environments / environment / live.family / FOLDER
    table = decisions.read(place, since=datetime.now(UTC) - reach)
    mine = compute.and_(compute.equal(table["release"], live.release), compute.equal(table["arm"], "live"))
    table = table.filter(mine)
    if not table.num_rows:
        raise NothingMet(f"{live.release} has answered no request in {environment}", "wait for requests")
    read = champion.contract(workspace, live)
    given, said = _given(table, read), _said(table, read)
    times = table["at"].cast(pa.int64()).to_numpy()

    def answer(positions: NDArray[np.intp]) -> tuple[pd.DataFrame, Prediction]:
        return given.iloc[positions], said.take(positions)

    return Met(
        origin=f"decisions of {environment}",
        labels=pd.Series(np.nan, index=range(len(given))),
        times=np.asarray(times, dtype=np.int64),
        dated=True,
        answer=answer,
    )


def of_outcomes(workspace: Workspace, live: Manifest, environment: str) -> Met:
    """What the live release answered in an environment, with what came of it as far as that is known.

    NothingMet where it has answered nothing, or where nothing can be joined.
    """
    settings = workspace.config.monitor
    since = datetime.now(UTC) - duration(settings.window) * settings.windows
    try:
        found = outcomes.joined(workspace, environment, live.release, since=since)
    except ConfigError as error:
        raise NothingMet(error.message, error.next_step) from error
    rows = found.rows
    rows = rows[(rows["release"] == live.release) & (rows["arm"] == "live")].reset_index(drop=True)
    if rows.empty:
        raise NothingMet(f"{live.release} has answered no request in {environment}", "wait for requests")
    read = champion.contract(workspace, live)
    table = pa.Table.from_pandas(rows.drop(columns=["label", "mature"]), preserve_index=False)
    given, said = _given(table, read), _said(table, read)

    def answer(positions: NDArray[np.intp]) -> tuple[pd.DataFrame, Prediction]:
        return given.iloc[positions], said.take(positions)

    classes = {str(name): name for name in read.classes}
    labels = (
        rows["label"].map(lambda word: classes.get(str(word), word), na_action="ignore") if classes else rows["label"]
    )
    return Met(
        origin=f"decisions of {environment} with outcomes",
        labels=labels.where(rows["mature"]),
        times=np.asarray(table["at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(), dtype=np.int64),
        dated=True,
        answer=answer,
        findings=found.findings,
    )


def _given(table: pa.Table, read: Contract) -> pd.DataFrame:
    """What the model was given, as far as it was written: columns may be left out of the log."""
    there = [column for column in read.columns if f"feature.{column.name}" in table.column_names]
    plain = {column.name: table[f"feature.{column.name}"].to_pandas() for column in there}
    return model_inputs(pd.DataFrame(plain), replace(read, columns=tuple(there)))


def _said(table: pa.Table, read: Contract) -> Prediction:
    """What was answered, in the release's own classes."""
    if read.task == "regression":
        return Prediction(table["prediction"].to_numpy().astype("float64"), None)
    classes = {str(name): name for name in read.classes}
    values = np.array([classes.get(word) for word in table["prediction"].to_pylist()], dtype=object)
    names = [f"probability.{name}" for name in read.classes]
    if read.task == "binary" and not table["probability"].null_count:
        second = table["probability"].to_numpy()
        return Prediction(values, np.column_stack([1 - second, second]))
    if all(name in table.column_names for name in names):
        chances = np.column_stack([table[name].to_numpy() for name in names])
        return Prediction(values, None if np.isnan(chances).any() else chances)
    return Prediction(values, None)
