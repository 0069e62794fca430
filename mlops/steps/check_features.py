"""Judges the feature functions: the user's own tests, and built-in properties on real rows, side by side."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.adapters.pytest_run import Ran, Replay, RunningTests
from mlops.declare import ASKED, Declared, FeatureView, OnDemand
from mlops.gates import own
from mlops.gates.features import judge_shape, said
from mlops.gates.look_ahead import DelayedLabel
from mlops.gates.on_demand import judge_on_demand
from mlops.gates.properties import judge_elsewhere, judge_view, sample
from mlops.gates.tested import judge_tests
from mlops.gates.trying import attempt
from mlops.gates.view_times import delayed_labels, event_time
from mlops.verdict import Finding, Outcome, Record, Severity, Verdict
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sampled:
    """The rows a view is tried on, their time column, what it returned, and where the tests' process writes it."""

    view: FeatureView
    rows: pd.DataFrame
    time: str | None
    frame: pd.DataFrame | Finding
    replay: Replay


def check_features(
    workspace: Workspace,
    *,
    views: Sequence[FeatureView],
    on_demands: Sequence[OnDemand],
    snapshots: Mapping[str, Record],
    pinned: Sequence[Finding] = (),
) -> Record:
    """The verdict on `views` and `on_demands`; `snapshots` are the records of their sources, by name.

    `pinned` says whether the features that retained releases read are what they were.

    A failing test, a feature that no passing test calls, or a property that does not hold fails. A project
    without features passes with that reason; its tests in the configured folders still run.
    """
    folders = [folder for folder in workspace.config.tests_of("features") if _has_tests(workspace.root / folder)]
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="features-", dir=workspace.scratch) as scratch, ExitStack() as ending:
        sampled = [_sampled(workspace, view, snapshots[view.source], Path(scratch)) for view in views]
        replays = [one.replay for one in sampled if not isinstance(one.frame, Finding)]
        running = None
        if folders:
            running = ending.enter_context(RunningTests(workspace.root, folders, workspace.scratch, replays))
        for one in sampled:
            findings += _judged(workspace, one, snapshots[one.view.source])
        failed = {f.subject for f in findings if f.outcome is Outcome.FAIL and f.severity is Severity.FAIL}
        for computed in on_demands:
            findings += _judged_on_demand(workspace, computed, sampled, snapshots, failed)
        ran = running.finish() if running else Ran()
        findings += [
            _elsewhere(one, ran) for one in sampled if one.view.name not in failed and one.view.name in ran.replayed
        ]
    findings += _own(workspace, sampled, snapshots)
    findings += judge_tests(ran, [*views, *on_demands], workspace.config.tests_of("features"), found=bool(folders))
    findings += pinned
    verdict = Verdict(gate="check-features", subject="", findings=tuple(findings))
    counts = {"views": len(views), "on_demands": len(on_demands), "tests": len(ran.tests)}
    return Record(
        step="check-features", subject="", metrics={name: float(n) for name, n in counts.items()}, verdict=verdict
    )


def _own(workspace: Workspace, sampled: Sequence[_Sampled], snapshots: Mapping[str, Record]) -> list[Finding]:
    """The user's own checks: once for each view, or once where they ask for views and sources by name alone."""
    checks = [check for check in workspace.catalog.checks.values() if check.on == "features"]
    findings: list[Finding] = []
    for check in checks:
        asked = set(inspect.signature(check.function).parameters)
        each = sampled if asked & set(ASKED["features"]) else [None]
        for one in each:
            wanted = [other for other in sampled if other is one or other.view.name in asked]
            broken = [other.view.name for other in wanted if isinstance(other.frame, Finding)]
            if broken:
                findings.append(own.not_run(check, broken[0], "needs the view, which must be mended first"))
                continue
            values: dict[str, Any] = {other.view.name: _copied(other.frame) for other in wanted}
            sources = {name: record.outputs["data"] for name, record in snapshots.items() if name in asked}
            values |= {name: workspace.frame(digest).copy() for name, digest in sources.items()}
            if one is not None:
                values |= {"view": one.view.name, "features": _copied(one.frame), "rows": one.rows.copy()}
            findings += own.run(check, values, subject=one.view.name if one is not None else "")
    return findings


def _copied(frame: pd.DataFrame | Finding) -> Any:
    return frame if isinstance(frame, Finding) else frame.copy()


def _has_tests(folder: Path) -> bool:
    return any(folder.rglob("test_*.py")) or any(folder.rglob("*_test.py"))


def _sampled(workspace: Workspace, view: FeatureView, snapshot: Record, scratch: Path) -> _Sampled:
    source = workspace.frame(snapshot.outputs["data"])
    time = event_time(view, workspace.catalog.models.values(), source)
    rows = sample(source, view.entity, time)
    replay = Replay(
        name=view.name,
        module=view.module,
        sample=str(scratch / f"{view.name}.parquet"),
        result=str(scratch / f"{view.name}.result.parquet"),
    )
    rows.to_parquet(replay.sample, index=False)
    return _Sampled(view=view, rows=rows, time=time, frame=attempt(view, rows.copy()), replay=replay)


def _judged(workspace: Workspace, one: _Sampled, snapshot: Record) -> tuple[Finding, ...]:
    source = workspace.frame(snapshot.outputs["data"])
    try:
        return _tried(one, source, delayed_labels(one.view, workspace.catalog.models.values(), source))
    except Exception as error:  # noqa: BLE001 - users' functions and values may raise anything
        return (_not_tried(one.view, error),)


def _tried(one: _Sampled, source: pd.DataFrame, labels: Sequence[DelayedLabel]) -> tuple[Finding, ...]:
    findings = judge_view(one.view, one.rows, time=one.time, labels=labels)
    empty = [f for f in findings if f.check == "features.values" and f.fired]
    if empty and len(one.rows) < len(source):
        # A column may be empty in few rows and right in all of them: ask all of them before saying no.
        whole = attempt(one.view, source.copy())
        again = () if isinstance(whole, Finding) else judge_shape(one.view, whole)
        if again and all(f.outcome is Outcome.PASS for f in again if f.check == "features.values"):
            findings = judge_view(one.view, source, time=one.time, labels=labels)
    return findings


def _judged_on_demand(
    workspace: Workspace,
    computed: OnDemand,
    sampled: Sequence[_Sampled],
    snapshots: Mapping[str, Record],
    failed: set[str],
) -> tuple[Finding, ...]:
    wanted = {name.partition(".")[0] for name in _all_inputs(workspace, computed)}
    broken = sorted(wanted & failed)
    if broken:
        reason = f"{computed.name} was not tried: {', '.join(broken)} must be mended first"
        return (Finding(check="features.values", outcome=Outcome.SKIPPED, message=reason, subject=computed.name),)
    try:
        rows = _rows_for(workspace, computed, [one for one in sampled if one.view.name in wanted], snapshots)
        lacking = [
            name
            for name in computed.inputs
            if name not in workspace.catalog.on_demands and (rows is None or _short(name) not in rows)
        ]
        if rows is None or lacking:
            step = "an input is a column of the source, `view_v1.column`, or another on-demand feature"
            return (said(computed, "columns", f"reads {', '.join(lacking)}, which no source has", next_step=step),)
        return judge_on_demand(computed, [_input(workspace, name, rows) for name in computed.inputs])
    except Exception as error:  # noqa: BLE001 - users' functions and values may raise anything
        return (_not_tried(computed, error),)


def _not_tried(one: Declared, error: Exception) -> Finding:
    """A check that crashed did not run, and never passes."""
    message = f"{one.origin}: {one.name} could not be tried: {type(error).__name__}: {error}"
    step = "call it with a few rows in a test and look at what it returns"
    return Finding(check="features.runs", outcome=Outcome.NOT_RUN, message=message, subject=one.name, next_step=step)


def _all_inputs(workspace: Workspace, computed: OnDemand) -> list[str]:
    """Its inputs, and those of the on-demand features among them."""
    found: list[str] = []
    for name in computed.inputs:
        inner = workspace.catalog.on_demands.get(name)
        found += [name] if inner is None else [name, *_all_inputs(workspace, inner)]
    return found


def _rows_for(
    workspace: Workspace, computed: OnDemand, views: Sequence[_Sampled], snapshots: Mapping[str, Record]
) -> pd.DataFrame | None:
    """Rows of the source with the stored columns beside them, as of strictly before each row."""
    import pandas as pd

    sources = [m.source for m in workspace.catalog.models.values() if computed in workspace.catalog.pinned(m)[1]]
    sources += [one.view.source for one in views] + list(snapshots)
    if not [name for name in sources if name in snapshots]:
        return None
    source = next(name for name in sources if name in snapshots)
    if not views:
        return workspace.frame(snapshots[source].outputs["data"]).head(2000).reset_index(drop=True)
    rows = views[0].rows
    for one in views:
        frame, entity, at = one.frame, one.view.entity, one.view.timestamp
        if isinstance(frame, Finding) or one.time is None or entity not in rows:
            continue
        rows = rows.dropna(subset=[one.time, entity]).sort_values(one.time, kind="stable")
        stored = frame.rename(columns={at: "__at"}).sort_values("__at", kind="stable")
        stored["__at"] = stored["__at"].astype(rows[one.time].dtype)
        new = [name for name in stored.columns if name not in rows or name in ("__at", entity)]
        rows = pd.merge_asof(
            rows, stored[new], left_on=one.time, right_on="__at", by=entity, allow_exact_matches=False
        ).drop(columns="__at")
    return rows.reset_index(drop=True)


def _input(workspace: Workspace, name: str, rows: pd.DataFrame) -> pd.Series:
    inner = workspace.catalog.on_demands.get(name)
    if inner is None:
        return rows[_short(name)].rename(_short(name))
    values: pd.Series = inner.function(*(_input(workspace, one, rows) for one in inner.inputs))
    return values


def _short(name: str) -> str:
    return name.partition(".")[2] or name


def _elsewhere(one: _Sampled, ran: Ran) -> Finding:
    import pandas as pd

    error = ran.replayed[one.view.name]
    there = None if error else pd.read_parquet(one.replay.result)
    here: Any = one.frame
    # Through Parquet as the other one, so that only values can differ.
    again = Path(one.replay.result).with_suffix(".here")
    here.to_parquet(again, index=False)
    return judge_elsewhere(one.view, pd.read_parquet(again), there, error)
