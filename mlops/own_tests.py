"""A project's own tests of data, models and services, run by pytest beside what their gate judges."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from mlops import syntax
from mlops.adapters.pytest_run import Given, RunningTests
from mlops.declare import Model
from mlops.gates import own_tests as gate
from mlops.trial import Trial
from mlops.verdict import Finding, Record
from mlops.workspace import Workspace

On = Literal["data", "model", "service"]


def folders(workspace: Workspace, on: On) -> list[str]:
    """The configured folders, and files, in which there are tests."""
    return [name for name in workspace.config.tests_of(on) if _has_tests(workspace.root / name)]


def checks(workspace: Workspace) -> set[str]:
    """The names under which one's own checks speak, without `own.`: declared ones, and tests by file and function."""
    places = [workspace.root / place for on in get_args(On) for place in folders(workspace, on)]
    files = {file for place in places for file in ([place] if place.is_file() else place.rglob("*.py"))}
    return {*workspace.catalog.checks, *(name for file in files for name in _tests_in(file, workspace.root))}


def of_source(workspace: Workspace, source: str, rows: str) -> Given:
    """What tests are given of a source, whose table is the object `rows`."""
    return Given(
        on="data",
        subject=source,
        root=str(workspace.root),
        config=workspace.config,
        marks=(source,),
        known=_judged_sources(workspace),
        rows=rows,
    )


def of_model(workspace: Workspace, model: Model, assembled: Record, trained: str, predictions: str) -> Given:
    """What tests are given of a model: the object `trained`, the held-out rows, and what it says of them."""
    marks, known = _marks(workspace, model.name)
    return Given(
        on="model",
        subject=model.name,
        root=str(workspace.root),
        config=workspace.config,
        marks=marks,
        known=known,
        rows=assembled.outputs["holdout"],
        predictions=predictions,
        model=trained,
        contract=workspace.objects.get(assembled.outputs["contract"]).decode(),
    )


def of_service(workspace: Workspace, trial: Trial, requests: Sequence[dict[str, Any]]) -> Given:
    """What tests are given of a running service, which knows the features of `requests`."""
    marks, known = _marks(workspace, trial.contract.model)
    return Given(
        on="service",
        subject=trial.contract.model,
        root=str(workspace.root),
        config=workspace.config,
        marks=marks,
        known=known,
        contract=msgspec.json.encode(trial.contract).decode(),
        url=trial.url,
        requests=tuple(requests),
    )


def run(workspace: Workspace, given: Given, places: list[str] | None = None) -> tuple[Finding, ...]:
    """Run the tests in `places` (the configured ones) with what they are given; without tests, nothing."""
    places = folders(workspace, given.on) if places is None else places
    if not places:
        return ()
    with RunningTests(workspace.root, places, workspace.scratch, given=given) as running:
        ran = running.finish()
    command = f"mlops check-{given.on}" + ("" if given.on == "data" else f" {given.subject}")
    return gate.judge(ran, folders=places, subject=given.subject, root=workspace.root, command=command)


def silent(workspace: Workspace, on: On, subject: str, why: str) -> tuple[Finding, ...]:
    """That the tests could not run, where there are any."""
    step = "mend that first"
    return tuple(gate.not_run(place, subject, why, step) for place in folders(workspace, on))


def _judged_sources(workspace: Workspace) -> tuple[str, ...]:
    """The sources that a gate judges: those that something reads. A test of another one would never run."""
    catalog = workspace.catalog
    read = {model.source for model in catalog.models.values()} | {view.source for view in catalog.views.values()}
    return tuple(sorted(read))


def _marks(workspace: Workspace, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names by which a test may be marked as one of that model, and those that any mark may have."""
    catalog = workspace.catalog
    mine = (name, catalog.models[name].family) if name in catalog.models else (name, name.rpartition("_v")[0])
    return mine, tuple(sorted({*catalog.models, *catalog.families(), *mine}))


def _tests_in(file: Path, root: Path) -> Iterator[str]:
    """`FILE`, and `FILE::TEST` or `FILE::CLASS::TEST` for each of its tests, as pytest calls them."""
    place = file.relative_to(root).as_posix()
    yield place
    try:
        body = syntax.parse(file.read_text(encoding="utf-8")).body
    except SyntaxError:  # pytest says so when it reads it
        return
    for node in body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{place}::{node.name}" if isinstance(node, ast.ClassDef) else place
        for one in inner:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith("test"):
                yield f"{prefix}::{one.name}"


def _has_tests(place: Path) -> bool:
    return place.is_file() or any(place.rglob("test_*.py")) or any(place.rglob("*_test.py"))
