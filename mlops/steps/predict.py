"""`predict`: what a release says of every row of a file, in bounded memory, and whole or not at all."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlops import pins, scoring
from mlops.adapters import batches, files
from mlops.adapters.index import Index
from mlops.adapters.lock import locked
from mlops.config import Source
from mlops.contract import Contract
from mlops.errors import DeploymentFailed, MlopsError, NothingToDo, UsageError, nearest
from mlops.publishing import built
from mlops.scoring import AsOf, Job, Tell
from mlops.serving import answers
from mlops.serving.tabular import demand_columns
from mlops.stores import open_store
from mlops.stores.asked import History
from mlops.stores.protocol import Lookup
from mlops.stores.reading import published
from mlops.targets import chosen
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1

ROWS = 50_000
"""Rows of a part: enough that reading history pays, few enough for a small machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be predicted: the rows of `file`, into `out`, by a release or by what is live in an environment.

    `as_of` says of which moment stored features are; `keep` names columns to copy; bad rows go to `skip_bad`.
    """

    file: Path
    out: Path
    shown: str = ""
    release: str | None = None
    environment: str | None = None
    family: str | None = None
    as_of: AsOf | None = None
    keep: tuple[str, ...] = ()
    skip_bad: Path | None = None
    rows: int = ROWS


def predict(workspace: Workspace, *, wanted: Wanted, tell: Tell = lambda *_: None) -> Record:
    """Predictions of all rows in `wanted.out`; facts say how many, by which release and of which moment.

    UsageError for what cannot be asked for, GateFailed naming line, column and value where a row is no request;
    then nothing is written. DeploymentFailed where the release is not whole or its features are not the same.
    """
    started = time.monotonic()
    scoring.forget_old(workspace.scratch)
    job = _job(workspace, wanted)
    with locked(job.folder / "lock", "the same rows are being predicted", seconds=0.0):
        try:
            done = scoring.run(job, workspace.releases, tell)
        except MlopsError:
            if not (job.begun and job.given.steady):  # there is nothing to go on with
                shutil.rmtree(job.folder, ignore_errors=True)
            raise
        shutil.rmtree(job.folder, ignore_errors=True)
    state = done.state
    moments = {"row": f"each row's {job.timestamp}", "now": state.moment}
    return Record(
        step="predict",
        subject=job.release,
        seconds=time.monotonic() - started,
        metrics={"rows": float(state.rows), "bad": float(state.bad)},
        facts={
            "release": job.release,
            "file": job.given.shown,
            "out": str(job.out),
            "rows": state.rows,
            "predicted": state.rows - state.bad,
            "bad": state.bad,
            "set_aside": str(job.bad) if job.bad and state.bad else None,
            "resumed_after": done.resumed_after,
            "as_of": moments[job.as_of] if job.as_of else None,
            "features": done.features,
            "ignored": [name for name in job.given.names if name not in job.columns],
        },
    )


def _job(workspace: Workspace, wanted: Wanted) -> Job:
    _demand_sense(wanted)
    release = _release(workspace, wanted)
    _, contract = pins.read(workspace, release)
    given = batches.opened(wanted.file, wanted.shown or str(wanted.file), _source(workspace, contract))
    as_of = _as_of(contract, given.names, wanted.as_of)
    fields = [field.name for field in contract.fields]
    demand_columns(given.names, [*fields, *([str(contract.timestamp)] if as_of == "row" else [])], given.shown)
    keys = _keys(contract, given, wanted.keep)
    online = _online(workspace, wanted, release) if as_of == "now" else None
    history = _history(workspace, release) if as_of == "row" else None
    # What the parts depend on: with anything else they are other parts.
    state = [(one.view, one.published) for one in published(online)] if online else []
    histories = [(one.view.name, one.written) for one in history.lookups] if history else []
    whole = [VERSION, release, given.digest, given.source, wanted.rows, wanted.skip_bad is not None, as_of, keys]
    name = files.digest_bytes(msgspec.json.encode([*whole, state, histories], order="sorted"))[:16]
    return Job(
        release=release, contract=contract, given=given, keys=keys, as_of=as_of, online=online, history=history,
        out=wanted.out, bad=wanted.skip_bad, rows=wanted.rows, folder=workspace.scratch / f"predict-{name}",
    )  # fmt: skip


def _demand_sense(wanted: Wanted) -> None:
    for file in (wanted.out, wanted.skip_bad):
        if file is not None and file.suffix not in batches.FORMS:
            raise UsageError(
                f"{file} ends in none of {', '.join(batches.FORMS)}", next_step="name it for example p.csv"
            )
        if file is not None and file.resolve() == wanted.file.resolve():
            raise UsageError(f"{file} is the file that is read", next_step="write to another one")
    if wanted.skip_bad is not None and wanted.skip_bad.resolve() == wanted.out.resolve():
        raise UsageError("bad rows and answers cannot share one file", next_step="give --skip-bad another name")
    if wanted.release is None and wanted.environment is None:
        raise UsageError(
            "predict by which release?", next_step="say --env NAME for what is live there, or --release NAME"
        )


def _release(workspace: Workspace, wanted: Wanted) -> str:
    """The one that is named, or that is live; signed where the environment demands it."""
    if wanted.environment is None:
        return chosen.release(workspace, str(wanted.release))
    environment = wanted.environment
    target = chosen.target(workspace, environment)
    if wanted.release is not None:
        release: str | None = chosen.release(workspace, wanted.release)
    else:
        release = target.standing(chosen.family(target.families(), wanted.family, environment)).live
    if release is None:
        raise NothingToDo(f"nothing is live in {environment}", next_step="name a release: --release NAME")
    chosen.local(workspace, environment).verified(release)
    return release


def _online(workspace: Workspace, wanted: Wanted, release: str) -> Path:
    """The environment's online store, which has what the release reads."""
    if wanted.environment is None:
        raise UsageError(
            f"{release} reads stored features, which are each environment's own",
            next_step="say whose: --env NAME, or --as-of row for those that were known at each row's moment",
        )
    target = chosen.local(workspace, wanted.environment)
    target.demand_features(release)
    return target.online


def _source(workspace: Workspace, contract: Contract) -> Source:
    """The settings by which the model's own source is read; none where it is not declared any more."""
    model = workspace.catalog.models.get(contract.model)
    source = workspace.config.sources.get(model.source) if model is not None else None
    return source or Source()


def _as_of(contract: Contract, names: Sequence[str], asked: AsOf | None) -> AsOf | None:
    """Of which moment stored features are; None where the release reads none."""
    if not contract.stored:
        return None
    if asked == "row" and contract.timestamp is None:
        raise UsageError("this release knows no time of a row", next_step="leave --as-of row out")
    if asked is None and contract.timestamp in names:
        raise UsageError(
            f"the rows have the time {contract.timestamp!r}, and the release reads stored features: as of when?",
            next_step="--as-of row for what was known at each row's moment, --as-of now for what a request would get",
        )
    return asked or "now"


def _keys(contract: Contract, given: batches.Input, keep: Sequence[str]) -> tuple[str, ...]:
    """The columns that are copied: entities, the row's time where there is one, and what else is wanted."""
    for name in keep:
        if name not in given.names:
            raise UsageError(f"{given.shown} has no column {name!r} to keep", next_step=nearest(name, given.names))
    time_of_row = [contract.timestamp] if contract.timestamp and contract.timestamp in given.names else []
    keys = tuple(dict.fromkeys([*contract.entities, *time_of_row, *keep]))
    answers.demand_distinct(keys, contract)
    return keys


def _history(workspace: Workspace, release: str) -> History:
    """The histories of the views that the release pins; DeploymentFailed where one is not the same, or not there."""
    manifest, contract = pins.read(workspace, release)
    index = Index(workspace.home / "index.db")
    lookups = []
    for name in pins.views_of(contract):
        if not pins.same(workspace, name, manifest):
            place = pins.source(workspace, name, release)
            raise DeploymentFailed(
                f"{release} reads {name}, which is gone or was edited since",
                next_step=f"put it back{f' (its source is in {place})' if place else ''}, or use --as-of now",
            )
        view = workspace.catalog.views[name]
        record = built(workspace, index, view)
        if record is None:
            raise DeploymentFailed(
                f"{release} reads {name}, whose history was never computed here",
                next_step=f"compute it: `mlops materialize {name}`",
            )
        columns = {one.column: one.name for one in contract.stored if one.view == name}
        lookups.append(Lookup(view=view, written=record.outputs["features"], columns=columns))
    return History(open_store(workspace), tuple(lookups), str(contract.timestamp))
