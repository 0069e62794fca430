"""Computes a feature view over a snapshot and stores the result: in parts where that is large, of which few are new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.adapters import parquet
from mlops.closure import code_digest
from mlops.declare import FeatureView
from mlops.errors import GateFailed
from mlops.gates.features import judge_shape, said
from mlops.gates.view_times import event_time
from mlops.parts.building import Built, build
from mlops.parts.computing import called
from mlops.parts.rows import empty
from mlops.stores import open_store
from mlops.verdict import Finding, Outcome, Record, Severity
from mlops.workspace import Workspace

if TYPE_CHECKING:
    from mlops.stores.protocol import FeatureStore, Statistics

VERSION = 2


@dataclass(frozen=True, slots=True)
class _Written:
    """A history in the store, and how it came there."""

    name: str
    about: dict[str, Any]


def build_features(
    workspace: Workspace,
    *,
    view: FeatureView,
    snapshot: Record,
    progress: Callable[[str], None] = lambda _: None,
) -> Record:
    """The stored features of `view`; GateFailed where its function raises or returns what cannot be stored.

    `progress` is told how many parts there are of how many. The fact `parts` says what was computed and what was known.
    """
    store = open_store(workspace)
    digest = snapshot.outputs["data"]
    source_rows = parquet.rows(workspace.objects.path(digest))
    in_parts = source_rows > workspace.config.engine.rows
    written = _parts(workspace, view, digest, store, progress) if in_parts else _whole(workspace, view, digest, store)
    about = store.statistics(view, written.name)
    _demand_values(view, about)
    return Record(
        step="build-features",
        subject=view.name,
        outputs={"features": written.name},
        metrics={"rows": float(about.rows), "entities": float(about.entities), "source_rows": float(source_rows)},
        facts={
            "source": view.source,
            "entity": view.entity,
            "code": code_digest(view, workspace.root),
            "columns": {name: {"missing": round(c.missing, 6), "mean": c.mean} for name, c in about.columns.items()},
            "oldest": about.oldest,
            "newest": about.newest,
            **written.about,
        },
    )


def _whole(workspace: Workspace, view: FeatureView, digest: str, store: FeatureStore, why: str = "") -> _Written:
    frame = called(view, workspace.frame(digest).copy(), workspace.root)
    _refuse(judge_shape(view, frame))
    return _Written(store.write(view, frame), {"parts": {"all": 1, "computed": 1, "why": why}})


def _parts(
    workspace: Workspace, view: FeatureView, digest: str, store: FeatureStore, progress: Callable[[str], None]
) -> _Written:
    data: Path = workspace.objects.path(digest)
    time = event_time(view, workspace.catalog.models.values(), empty(data))
    built = build(workspace, view, data, time=time, progress=progress)
    if not isinstance(built, Built):
        return _whole(workspace, view, digest, store, built.why)
    if not built.names:
        _refuse([said(view, "keys", "returned no rows", next_step="look at its filters and joins")])
    parts = {
        "all": built.parts,
        "computed": built.computed,
        "calls": built.calls,
        "rows_read": built.rows_read,
        "buckets": built.grid.buckets,
        "period": built.grid.period,
        "why": built.proof.why,
    }
    known = built.parts - built.computed
    summary = f"{built.computed:,} of {built.parts:,} parts computed, {known:,} known"
    return _Written(store.gather(view, built.names), {"parts": parts, "summary": summary})


def _demand_values(view: FeatureView, about: Statistics) -> None:
    """What no part can see alone: a column without any value."""
    lacking = [name for name, column in about.columns.items() if about.rows and column.missing == 1]
    if lacking:
        step = "look at its joins and its index: pandas aligns by index, not by position"
        _refuse([said(view, "values", f"returned no value at all in {lacking[0]}", next_step=step)])


def _refuse(findings: tuple[Finding, ...] | list[Finding]) -> None:
    problems = [f for f in findings if f.outcome is Outcome.FAIL and f.severity is Severity.FAIL]
    if problems:
        raise GateFailed(problems[0].message, next_step=problems[0].next_step)
