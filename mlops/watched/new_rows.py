"""The rows of the model's source that came after the live release's data, each read as the release reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mlops import champion
from mlops.contract import Contract
from mlops.declare import Model
from mlops.errors import GateFailed, MlopsError
from mlops.release import Manifest
from mlops.serving.predictors import Prediction
from mlops.statistics.kinds import plain_labels
from mlops.statistics.split import contents, moments
from mlops.verdict import Record
from mlops.watched.met import Met, NothingMet
from mlops.workspace import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray


def of_source(
    workspace: Workspace, live: Manifest, model: Model, snapshot: Record, features: Mapping[str, Record]
) -> Met:
    """The rows of the model's source that came after the live release's data, labelled where the label is final.

    NothingMet where no row has come, or where nobody can tell which are new.
    """
    read = champion.contract(workspace, live)
    table = workspace.frame(snapshot.outputs["data"])
    new, newest = _new(workspace, live, model, table)
    if not len(new):
        raise NothingMet(
            f"the source {model.source} has no row that {live.release} has not learnt or been judged by"
            + (f" (until {newest})" if newest else ""),
            "wait for new rows",
        )
    stamps = new[model.timestamp] if model.timestamp else None
    dated = stamps is not None and pd.api.types.is_datetime64_any_dtype(stamps)
    labels = new[model.label] if model.label in new else pd.Series(np.nan, index=new.index)
    if model.label_delay and stamps is not None:
        labels = labels.where(stamps <= table[model.timestamp].max() - model.label_delay)

    def answer(positions: NDArray[np.intp]) -> tuple[pd.DataFrame, Prediction]:
        rows = new.iloc[positions].reset_index(drop=True)
        try:
            inputs = champion.inputs(workspace, live, rows, features)
            return inputs, champion.answers_of_columns(workspace, live)[1](inputs)
        except MlopsError:
            raise
        except Exception as error:  # a column that is gone, words where numbers were: whatever the rows make it raise
            raise GateFailed(
                f"{live.release} raised {type(error).__name__} on them: {error}",
                next_step="look at the source's schema",
            ) from error

    return Met(
        origin=f"new rows of {model.source}",
        labels=_plain(labels, read),
        times=None if stamps is None else moments(stamps),
        dated=dated,
        answer=answer,
    )


def _new(workspace: Workspace, live: Manifest, model: Model, table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows that the release has not met, oldest first, and until when it has met all."""
    known = live.snapshot.get(model.source, "")
    old = workspace.frame(known) if known and workspace.objects.has(known) else None
    if model.timestamp is None:
        if old is None:
            raise NothingMet(
                f"the rows that {live.release} was made of are not on this machine, and {model.source} has no time",
                "bring the store along, or declare timestamp= of the model",
            )
        return table[~_seen(table, old)].reset_index(drop=True), ""
    if model.timestamp not in table:
        raise NothingMet(f"the source {model.source} has no column {model.timestamp!r} any more", "mend the source")
    until = _until(workspace, live, model, old)
    kept = table[table[model.timestamp] > until].sort_values(model.timestamp, kind="stable")
    return kept.reset_index(drop=True), str(until)


def _until(workspace: Workspace, live: Manifest, model: Model, old: pd.DataFrame | None) -> object:
    """The newest time that the release has learnt, or was judged by."""
    if old is not None:
        newest = old[model.timestamp].max()
        return newest - model.label_delay if model.label_delay else newest
    if live.training and workspace.objects.has(live.training):
        return workspace.frame(live.training)[model.timestamp].max()
    raise NothingMet(
        f"neither the rows nor the training table of {live.release} are on this machine, so none can be called new",
        "bring the store along from where it was made",
    )


def _seen(table: pd.DataFrame, old: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows were there already: of equal rows as many as there were."""
    columns = [str(name) for name in table.columns if name in old.columns]
    codes = pd.Series(contents(table, columns))
    before = pd.Series(contents(old, columns)).value_counts()
    return (codes.groupby(codes).cumcount() < codes.map(before).fillna(0)).to_numpy()


def _plain(labels: pd.Series, read: Contract) -> pd.Series:
    """Labels as the release knows them, missing where there are none."""
    there = labels.notna()
    if not there.any():
        return labels.reset_index(drop=True)
    plain = plain_labels(labels[there])
    values = plain.astype("float64") if read.task == "regression" else plain
    return values.astype(object).reindex(labels.index).reset_index(drop=True)
