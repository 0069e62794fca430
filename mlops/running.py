"""Runs a wish from open to closed: pipeline, executor, recorder and index, whatever happens in between."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import mlops
from mlops import own_tests
from mlops.actions.context import Context
from mlops.actions.wish import Wish
from mlops.adapters import git
from mlops.adapters.files import disk_errors
from mlops.adapters.index import Index
from mlops.config import Config
from mlops.errors import Changed, ConfigError, MlopsError, NothingToDo
from mlops.events import write_events
from mlops.execution import Executor, Observer, Run
from mlops.gates.severities import validate
from mlops.pipeline import tasks
from mlops.pyproject import load
from mlops.recording import Push, Recorder, executor
from mlops.release import MANIFEST, folder
from mlops.reuse import Reuse, team
from mlops.serving.integrity import read_manifest
from mlops.settling import Settling
from mlops.unsaved import demand_saved
from mlops.using import using
from mlops.verdict import Outcome, Report
from mlops.workspace import Workspace

SHARED = "shared store"
"""What of a report's `about` tells that the team's store failed, and how."""


def run(workspace: Workspace, wish: Wish, observer: Observer) -> tuple[Report, tuple[MlopsError, ...]]:
    """Do what is wished; gives the report, and the errors that stopped tasks."""
    with disk_errors(workspace.home):
        workspace.home.mkdir(exist_ok=True)
    with using(workspace):
        return _run(workspace, wish, observer)


def _run(workspace: Workspace, wish: Wish, observer: Observer) -> tuple[Report, tuple[MlopsError, ...]]:
    if not wish.models and not wish.views and not wish.families:
        raise NothingToDo("models/ declares no model", next_step="write a training function with @model(…) in models/")
    validate(workspace.config.severity, own=own_tests.checks(workspace))
    state, settings = git.state(workspace.root), load(workspace.root)
    if wish.environment is not None and not wish.allow_dirty:
        demand_saved(workspace, wish.environment, state)
    push = Push(
        command=wish.command, commit=state.commit, dirty=state.dirty, branch=state.branch, version=mlops.__version__
    )
    index = Index(workspace.home / "index.db")
    recorder = Recorder(workspace, push)
    reuse = Reuse(index, workspace.objects, shared=lambda: team(workspace, executor()), anew=wish.anew)
    outcome, said = Outcome.FAIL, ""
    try:
        with Context(workspace, wish, push, recorder, index, observer) as context:
            engine = Executor(
                index,
                workspace.objects,
                recorder,
                observer,
                settle=Settling(workspace.config, recorder).settled,
                reuse=reuse,
                steady=lambda: _demand_same(workspace, settings),
            )
            ended = engine.run(tasks(context))
            _publish(workspace, ended, reuse)
        report = _report(wish, ended, push, reuse.close())
        if wish.environment and any(r.step == "deploy" and r.facts["changed"] for r in ended.records):
            to = wish.environment
            recorder.call(lambda ledger, _: write_events(workspace, to, ledger))
        outcome = report.outcome if not ended.errors else Outcome.FAIL
        said = "; ".join(error.message for error in ended.errors)
        errors = ended.errors
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
        with contextlib.suppress(MlopsError):  # the first error is the one to show
            recorder.close(Outcome.FAIL, said)
        raise
    finally:
        reuse.close()
        index.close()
    return report, (*errors, *_closed(recorder, outcome, said))


def _publish(workspace: Workspace, ended: Run, reuse: Reuse) -> None:
    """Say in the team's store what the releases are made of: any machine may bring one by its name, and make it again.

    One of unsaved changes is made again by nobody.
    """
    for record in ended.records:
        if record.step == "register":
            release = str(record.facts["release"])
            file = folder(workspace.releases, release) / MANIFEST
            if not read_manifest(file.parent).dirty:
                reuse.publish(release, file.read_bytes())


def _demand_same(workspace: Workspace, settings: Config) -> None:
    """Raise Changed where the settings are not those with which the run began."""
    file = workspace.root / "pyproject.toml"
    try:
        same = load(workspace.root) == settings
    except ConfigError:  # in the middle of an edit
        same = False
    if not same:
        raise Changed(f"[tool.mlops] of {file.name}")


def _closed(recorder: Recorder, outcome: Outcome, said: str) -> tuple[MlopsError, ...]:
    try:
        recorder.close(outcome, said)
    except MlopsError as error:
        return (error,)
    return ()


def _report(wish: Wish, ended: Run, push: Push, troubles: tuple[str, ...]) -> Report:
    records = ended.records
    releases = tuple(str(r.facts["release"]) for r in records if r.step == "register")
    moves = [r for r in records if r.step == "deploy" and r.facts["release"]]
    last = {(str(r.facts["environment"]), str(r.facts["family"])): str(r.facts["release"]) for r in moves}
    deployed = {release: environment for (environment, _), release in last.items()}
    errors = tuple(error.message for error in ended.errors)
    return Report(
        command=wish.command,
        records=records,
        releases=releases,
        deployed=deployed,
        about={**_about(push), **({SHARED: "; ".join(troubles)} if troubles else {})},
        errors=errors,
    )


def _about(push: Push) -> dict[str, str]:
    return {
        "commit": push.commit + (" (with unsaved changes)" if push.dirty else ""),
        "branch": push.branch,
        "by": executor(),
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "mlops": push.version,
    }
