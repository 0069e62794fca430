"""What goes into each step, as small values: the ingredients that `keys` makes a key of.

A name that is left out here is a change that nobody notices, and one too many is work done twice. So: code by
its closure, tables by their digests, settings by the fields that the step reads.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from mlops.adapters import files
from mlops.closure import code_digest, code_files, function_digest, imported_files
from mlops.config import ModelSettings, Source
from mlops.declare import CheckOn, Declared, FeatureView, Model
from mlops.discover import Catalog
from mlops.errors import Changed
from mlops.keys import key_of
from mlops.verdict import Finding, Record
from mlops.workspace import Workspace

Ingredients = dict[str, Any]

_CODE = ("function", "origin", "module")


def declaration(declared: Declared) -> Ingredients:
    """What a decorator was given, without where it stands."""
    fields = {name: getattr(declared, name) for name in declared.__dataclass_fields__ if name not in _CODE}
    return {name: sorted(v.items()) if isinstance(v, Mapping) else str(v) for name, v in fields.items()}


def code(workspace: Workspace, declared: Iterable[Declared]) -> dict[str, str]:
    """The closure digest of each declaration; Changed where it is not what was imported, by an edit since."""
    found = {one.name: code_digest(one, workspace.root) for one in declared}
    edited = [name for name, digest in found.items() if workspace.code.get(name, digest) != digest]
    if edited:
        raise Changed(f"the code of {', '.join(edited)}")
    return found


def outputs(*records: Record) -> Ingredients:
    """The digests of earlier steps' outputs."""
    return {record.name: dict(record.outputs) for record in records}


def origin(source: Source, root: Path) -> str:
    """A digest of where a table comes from that only reading tells, a function or a query; not of when it is read."""
    module, _, name = (source.function or "").partition(":")
    code = function_digest(module, name, root) if name else ""
    settings = msgspec.structs.replace(source, max_age="0s", schema=None)
    return key_of("source", {"settings": msgspec.to_builtins(settings), "code": code})


def tested(
    workspace: Workspace, catalog: Catalog, snapshots: Iterable[Record], pinned: Iterable[Finding]
) -> Ingredients:
    """check-features: every view's and on-demand feature's code, the tests, the data they are tried on.

    And what retained releases have against an edit, but not which releases these are: a deployment tests nothing anew.
    """
    declared = [*catalog.views.values(), *catalog.on_demands.values()]
    return {
        "code": code(workspace, declared),
        "declared": [declaration(one) for one in declared],
        "models": [[m.source, m.timestamp, m.label, str(m.label_delay)] for m in catalog.models.values()],
        "tests": _tests(workspace),
        "checks": _own(workspace, "features"),
        "pinned": [msgspec.to_builtins(found) for found in pinned],
        **outputs(*snapshots),
    }


def source_judged(workspace: Workspace, source: str, snapshot: Record, models: Iterable[Model]) -> Ingredients:
    """check-data of a source: the snapshot, the schema, and what models say of its columns.

    Not who the models are: two versions with one label ask the same of a source.
    """
    asked = tuple(models)
    first = [[m.label, str(m.task), str(m.timestamp), sorted(m.ignore)] for m in asked[:1]]
    return {
        **outputs(snapshot),
        "schema": digest_of(workspace.root / schema_file(workspace, source)),
        "labels": sorted({model.label for model in asked}),
        "integrity": first,
        **_judging(workspace),
        **_own_tests(workspace, "data"),
    }


def table_judged(workspace: Workspace, model: Model, assembled: Record, champion: str) -> Ingredients:
    """check-data of a model's table, and the champion's, whose training data it is compared with."""
    return {**outputs(assembled), "model": declaration(model), "champion": champion, **_judging(workspace)}


def built(workspace: Workspace, view: FeatureView, snapshot: Record) -> Ingredients:
    """build-features: the view's code and its source."""
    return {**outputs(snapshot), "code": code(workspace, [view]), "declared": declaration(view)}


def joined(workspace: Workspace, model: Model, records: Iterable[Record], settings: ModelSettings) -> Ingredients:
    """assemble: the tables, the on-demand code, how rows are split, the labels that people corrected."""
    views, computed = workspace.catalog.pinned(model)
    return {
        **outputs(*records),
        "views": [declaration(view) for view in views],
        "computed": code(workspace, computed),
        "model": declaration(model),
        "split": {"holdout": settings.holdout, "min_rows": settings.min_rows, "split": settings.split},
        "review": digest_of(workspace.root / review_file(model)),
        **_home(workspace),
    }


def fitted(workspace: Workspace, model: Model, assembled: Record, settings: ModelSettings) -> Ingredients:
    """train: the table, the function, its parameters and the budget of the search."""
    together = workspace.config.engine.trials_at_once
    at_once = [together] if settings.trials and together > 1 else []
    return {
        **outputs(assembled),
        "code": code(workspace, [model]),
        "params": {"declared": model.params, "settings": settings.params, "search": model.search},
        "budget": {"trials": settings.trials, "seconds": settings.seconds, "at once": at_once},
        "seed": workspace.config.seed,
        "severity": dict(workspace.config.severity),
        "trusted": sorted(workspace.config.package.trusted),
    }


def judged(
    workspace: Workspace, model: Model, records: Iterable[Record], settings: ModelSettings, champion: str
) -> Ingredients:
    """check-model: the model, its table, the thresholds and the champion."""
    names = ("floor", "margin", "calibration", "evidence", "folds", "repeats", "fairness")
    thresholds = {name: msgspec.to_builtins(getattr(settings, name)) for name in names}
    declared = declaration(model)
    return {
        **outputs(*records),
        "thresholds": thresholds,
        "model": declared,
        "champion": champion,
        **_home(workspace),
        **_judging(workspace),
        **_own_tests(workspace, "model", workspace.catalog.pinned(model)[1]),
    }


def packaged(workspace: Workspace, model: Model, records: Iterable[Record], sources: Iterable[str]) -> Ingredients:
    """package: the model, its table, the bento's settings, and all code that travels in the bento."""
    return {
        **outputs(*records),
        "settings": msgspec.to_builtins(workspace.config.package),
        "bentofile": digest_of(workspace.root / "bentofile.yaml"),
        "sources": {name: digest_of(workspace.root / name) for name in sources},
        "framework": framework(),
        "model": model.name,
    }


def booted(workspace: Workspace, records: Iterable[Record], champion: str) -> Ingredients:
    """check-service: the bento, what it learnt from, the load, the champion, the home whose online store is tried."""
    return {
        **outputs(*records),
        "champion": champion,
        "load": msgspec.to_builtins(workspace.config.load),
        "checks": _own(workspace, "service"),
        "seed": workspace.config.seed,
        **_home(workspace),
        **_own_tests(workspace, "service"),
    }


def travelling(workspace: Workspace, model: Model) -> tuple[str, ...]:
    """The project's files that a model's bento holds: the closures of the model and of all it reads."""
    views, computed = workspace.catalog.pinned(model)
    closure = {file for one in (model, *views, *computed) for file in code_files(one, workspace.root)}
    return tuple(sorted(closure))


def schema_file(workspace: Workspace, source: str) -> str:
    """Where the committed schema of a source is, relative to the root."""
    return workspace.config.sources[source].schema or f"features/{source}.schema.yaml"


def review_file(model: Model) -> str:
    """Where people correct a model's labels, relative to the root."""
    return f"reviews/labels-{model.name}.csv"


def digest_of(path: Path) -> str:
    """The digest of a file, "" where it is not."""
    return files.digest_file(path) if path.is_file() else ""


@cache
def framework() -> str:
    """The digest of this package's own source, which travels in every bento."""
    home = Path(__file__).parent
    listing = {
        path.relative_to(home).as_posix(): files.digest_file(path)
        for path in sorted(home.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    return files.digest_bytes(msgspec.json.encode(listing))


def _home(workspace: Workspace) -> Ingredients:
    """Who joins, where it is not we: Feast's settings say by what."""
    store = workspace.config.store
    if store.home == "embedded":
        return {}
    file = workspace.root / store.repo / "feature_store.yaml"
    return {"store": [store.home, digest_of(file)]}


def _judging(workspace: Workspace) -> Ingredients:
    checks = [check for check in workspace.catalog.checks.values() if check.on in ("data", "model")]
    return {
        "severity": dict(workspace.config.severity),
        "seed": workspace.config.seed,
        "deepchecks": workspace.config.deepchecks,
        "checks": code(workspace, checks),
    }


def _own(workspace: Workspace, on: CheckOn) -> dict[str, str]:
    """The code of the user's own checks of one kind."""
    return code(workspace, [check for check in workspace.catalog.checks.values() if check.on == on])


def _own_tests(workspace: Workspace, on: CheckOn, computed: Iterable[Declared] = ()) -> Ingredients:
    """The project's own tests that a gate runs: all in their folders, what they import, pytest's settings.

    And the code that `predict` computes anew, and the names by which a test may be marked. Nothing without a folder.
    """
    root, catalog = workspace.root, workspace.catalog
    places = [root / folder for folder in workspace.config.tests_of(on) if (root / folder).exists()]
    if not places:
        return {}
    found = {path for place in places for path in ([place] if place.is_file() else place.rglob("*"))}
    found |= {parent / "conftest.py" for place in places for parent in place.parents if parent.is_relative_to(root)}
    inside = sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)
    names = {*(path.relative_to(root).as_posix() for path in inside), *imported_files(inside, root)}
    return {
        "tests": {name: digest_of(root / name) for name in sorted(names)},
        "pytest": [_pytest_table(root), *(digest_of(root / name) for name in ("pytest.ini", "tox.ini", "setup.cfg"))],
        "computed": code(workspace, computed),
        "marks": [*sorted(catalog.models), *sorted({one.source for one in _readers(catalog)})],
    }


def _readers(catalog: Catalog) -> list[Model | FeatureView]:
    return [*catalog.models.values(), *catalog.views.values()]


def _pytest_table(root: Path) -> Ingredients:
    file = root / "pyproject.toml"
    table = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    settings: Ingredients = table.get("tool", {}).get("pytest", {})
    return settings


def _tests(workspace: Workspace) -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in workspace.config.tests_of("features"):
        place = workspace.root / folder
        paths = [place] if place.is_file() else sorted(place.rglob("*.py"))
        found |= {path.relative_to(workspace.root).as_posix(): digest_of(path) for path in paths}
    conftest = workspace.root / "tests" / "conftest.py"
    return {**found, "conftest": digest_of(conftest)}
