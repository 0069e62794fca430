"""What a live release has met since it was trained: rows in order of time, with its answers and the labels there are.

Two places tell: the decision log of a service, and the newest rows of the source that the model learns from. Each
row is read as the release reads it, through its own feature versions; only the rows of the windows are answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import compute

from mlops import champion, decisions, outcomes
from mlops.adapters.index import Index
from mlops.config import Monitor
from mlops.contract import Contract, model_inputs
from mlops.declare import Model, duration
from mlops.errors import ConfigError, GateFailed, MlopsError
from mlops.gates.model import coded
from mlops.release import Manifest
from mlops.serving.decisions import FOLDER
from mlops.serving.predictors import Prediction
from mlops.statistics.decline import Level, assumed, level
from mlops.statistics.influence import Answers, measure
from mlops.statistics.kinds import plain_labels
from mlops.statistics.split import contents, moments
from mlops.statistics.windows import windows
from mlops.verdict import Finding, Record
from mlops.workspace import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_ROWS = 20_000
"""Rows of a window that are answered; of more, a seeded sample."""

Positions = Sequence["NDArray[np.intp]"]


class NothingMet(Exception):
    """There is no row to judge by; the message says why, `next_step` what would change that."""

    def __init__(self, reason: str, next_step: str) -> None:
        super().__init__(reason)
        self.reason, self.next_step = reason, next_step


@dataclass(frozen=True)
class Met:
    """Rows oldest first. `times` are microseconds since 1970 where `dated`, else ranks; None where nothing orders.

    `labels` are missing where they have not arrived. `answer` gives what the model was given and what it says of the
    rows at some positions. `origin` says in words which rows these are.
    """

    origin: str
    labels: pd.Series
    times: NDArray[np.int64] | None
    dated: bool
    answer: Callable[[NDArray[np.intp]], tuple[pd.DataFrame, Prediction]]
    findings: tuple[Finding, ...] = ()  # of how the labels were found

    def windows(self, settings: Monitor, *, labelled: bool, seed: int) -> Positions:
        """The positions of each window's rows, oldest window first; of rows with a label alone where `labelled`."""
        chosen = np.flatnonzero(self.labels.notna().to_numpy()) if labelled else np.arange(len(self.labels))
        times = None if self.times is None else self.times[chosen]
        span = int(duration(settings.window).total_seconds() * 1e6) if self.dated else 0
        found = windows(times, chosen.size, span=span, least=settings.rows, most=settings.windows)
        random = np.random.default_rng(seed)
        return [_thinned(chosen[one], random) for one in found]

    def when(self, positions: NDArray[np.intp]) -> tuple[str, str]:
        """The times of the first and last row, in words; row numbers where there are no times."""
        if not positions.size:
            return "", ""
        ends = positions[[0, -1]]
        if self.times is None or not self.dated:
            return f"row {ends[0] + 1:,}", f"row {ends[1] + 1:,}"
        first, last = (pd.Timestamp(int(self.times[end]), unit="us") for end in ends)
        return f"{first:%Y-%m-%d %H:%M}", f"{last:%Y-%m-%d %H:%M}"

    def instant(self, positions: NDArray[np.intp]) -> float | None:
        """When the newest of these rows was, in seconds since 1970; None where there are no times."""
        return None if self.times is None or not self.dated else float(self.times[positions[-1]]) / 1e6

    def newest_label(self) -> int | None:
        """The time of the newest labelled row in microseconds since 1970; None where there is none, or no time."""
        known = np.flatnonzero(self.labels.notna().to_numpy())
        return int(self.times[known[-1]]) if known.size and self.times is not None and self.dated else None

    def covered(self, positions: NDArray[np.intp]) -> float:
        """The share of these rows that are no newer than the newest labelled row."""
        known = np.flatnonzero(self.labels.notna().to_numpy())
        return float((positions <= known[-1]).mean()) if known.size and positions.size else 0.0


@dataclass(frozen=True)
class Answered:
    """The rows of some windows with what the model was given and said; each row is answered once."""

    met: Met
    chosen: Positions

    @cached_property
    def _every(self) -> NDArray[np.intp]:
        return np.unique(np.concatenate([np.asarray(one) for one in self.chosen]))

    @cached_property
    def _answers(self) -> tuple[pd.DataFrame, Prediction]:
        return self.met.answer(self._every)

    def inputs(self, positions: NDArray[np.intp]) -> pd.DataFrame:
        """What the model was given for the rows of a window."""
        return self._answers[0].iloc[np.searchsorted(self._every, positions)]

    def said(self, positions: NDArray[np.intp]) -> Prediction:
        """What the model says of the rows of a window."""
        return self._answers[1].take(np.searchsorted(self._every, positions))


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


def judged(workspace: Workspace, live: Manifest, index: Index, like: Level) -> Level:
    """The release's metric on the rows by which it was judged; its error is estimated where these rows are gone."""
    found = _held_out(workspace, live, index)
    if found is not None:
        return level(measure(live.metric, found))
    return assumed(live.metrics[live.metric], int(live.metrics.get("holdout_rows", like.n)), like)


def answers_when_judged(workspace: Workspace, live: Manifest, index: Index) -> pd.DataFrame | None:
    """What the release said of its held-out rows, as `check-model` kept it; None where that is not on this machine."""
    record = index.find(live.records.get(f"check-model:{live.model}", ""))
    digest = "" if record is None else record.outputs.get("predictions", "")
    return workspace.frame(digest) if digest and workspace.objects.has(digest) else None


def answers_of(labels: pd.Series, said: Prediction, read: Contract) -> Answers:
    """Labels and answers as a metric takes them."""
    return coded(labels, said.values, said.probabilities, read.classes, read.classes)


def _held_out(workspace: Workspace, live: Manifest, index: Index) -> Answers | None:
    said = answers_when_judged(workspace, live, index)
    assembled = index.find(live.records.get(f"assemble:{live.model}", ""))
    digest = "" if assembled is None else assembled.outputs.get("holdout", "")
    if said is None or not digest or not workspace.objects.has(digest):
        return None
    read = champion.contract(workspace, live)
    labels = workspace.frame(digest)[read.label]
    chances = [said[name].to_numpy() for name in said if str(name).startswith("probability_")]
    prediction = Prediction(said["prediction"].to_numpy(), np.column_stack(chances) if chances else None)
    return answers_of(labels, prediction, read)


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


def _thinned(positions: NDArray[np.intp], random: np.random.Generator) -> NDArray[np.intp]:
    if positions.size <= MOST_ROWS:
        return positions
    return np.sort(random.choice(positions, MOST_ROWS, replace=False))
