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
from mlops.closure import (
    code_digest,
    code_files,
    function_digest,
    imported_files,
    imported_outside,
    outside,
    syntax_digest,
)
from mlops.config import ModelSettings, Source
from mlops.declare import CheckOn, Declared, FeatureView, Model
from mlops.discover import Catalog
from mlops.errors import Changed
from mlops.keys import key_of, texts, versions
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
    return key_of("source", _with_packages({"settings": msgspec.to_builtins(settings), "code": code}))


def tested(
    workspace: Workspace, catalog: Catalog, snapshots: Iterable[Record], pinned: Iterable[Finding]
) -> Ingredients:
    """check-features: every view's and on-demand feature's code, the tests, the data they are tried on.

    And what retained releases have against an edit, but not which releases these are: a deployment tests nothing anew.
    """
    declared = [*catalog.views.values(), *catalog.on_demands.values()]
    made_of = {
        "code": code(workspace, declared),
        "declared": [declaration(one) for one in declared],
        "models": [[m.source, m.timestamp, m.label, str(m.label_delay)] for m in catalog.models.values()],
        **_tests(workspace, "features"),
        "checks": _own(workspace, "features"),
        "pinned": [msgspec.to_builtins(found) for found in pinned],
        **outputs(*snapshots),
    }
    return _with_packages(made_of, workspace, tests="features")


def source_judged(workspace: Workspace, source: str, snapshot: Record, models: Iterable[Model]) -> Ingredients:
    """check-data of a source: the snapshot, the schema, and what models say of its columns.

    Not who the models are: two versions with one label ask the same of a source.
    """
    asked = tuple(models)
    first = [[m.label, str(m.task), str(m.timestamp), sorted(m.ignore)] for m in asked[:1]]
    made_of = {
        **outputs(snapshot),
        "schema": digest_of(workspace.root / schema_file(workspace, source)),
        "labels": sorted({model.label for model in asked}),
        "integrity": first,
        **_judging(workspace),
        **_own_tests(workspace, "data"),
    }
    return _with_packages(made_of, workspace, tests="data")


def table_judged(workspace: Workspace, model: Model, assembled: Record, champion: str) -> Ingredients:
    """check-data of a model's table, and the champion's, whose training data it is compared with."""
    return _with_packages(
        {**outputs(assembled), "model": declaration(model), "champion": champion, **_judging(workspace)}
    )


def built(workspace: Workspace, view: FeatureView, snapshot: Record) -> Ingredients:
    """build-features: the view's code and its source."""
    return _with_packages({**outputs(snapshot), "code": code(workspace, [view]), "declared": declaration(view)})


def joined(workspace: Workspace, model: Model, records: Iterable[Record], settings: ModelSettings) -> Ingredients:
    """assemble: the tables, the on-demand code, how rows are split, the labels that people corrected."""
    views, computed = workspace.catalog.pinned(model)
    made_of = {
        **outputs(*records),
        "views": [declaration(view) for view in views],
        "computed": code(workspace, computed),
        "model": declaration(model),
        "split": {"holdout": settings.holdout, "min_rows": settings.min_rows, "split": settings.split},
        "review": digest_of(workspace.root / review_file(model)),
        **_home(workspace),
    }
    return _with_packages(made_of)


def fitted(workspace: Workspace, model: Model, assembled: Record, settings: ModelSettings) -> Ingredients:
    """train: the table, the function, its parameters and the budget of the search."""
    together = workspace.config.engine.trials_at_once
    at_once = [together] if settings.trials and together > 1 else []
    made_of = {
        **outputs(assembled),
        "code": code(workspace, [model]),
        "params": {"declared": model.params, "settings": settings.params, "search": model.search},
        "budget": {"trials": settings.trials, "seconds": settings.seconds, "at once": at_once},
        "seed": workspace.config.seed,
        "severity": dict(workspace.config.severity),
        "trusted": sorted(workspace.config.package.trusted),
    }
    return _with_packages(made_of)


def judged(
    workspace: Workspace, model: Model, records: Iterable[Record], settings: ModelSettings, champion: str
) -> Ingredients:
    """check-model: the model, its table, the thresholds and the champion.

    And the packages of the model's code: an estimator that another version of them loads may answer otherwise.
    """
    names = ("floor", "margin", "calibration", "evidence", "folds", "repeats", "fairness")
    thresholds = {name: msgspec.to_builtins(getattr(settings, name)) for name in names}
    declared = declaration(model)
    made_of = {
        **outputs(*records),
        "thresholds": thresholds,
        "model": declared,
        "champion": champion,
        **_home(workspace),
        **_judging(workspace),
        **_own_tests(workspace, "model", workspace.catalog.pinned(model)[1]),
    }
    return _with_packages(made_of, workspace, tests="model", more=code(workspace, [model]))


def packaged(workspace: Workspace, model: Model, records: Iterable[Record], sources: Iterable[str]) -> Ingredients:
    """package: the model, its table, the bento's settings, and all code that travels in the bento."""
    views, computed = workspace.catalog.pinned(model)
    made_of = {
        **outputs(*records),
        "settings": msgspec.to_builtins(workspace.config.package),
        "bentofile": digest_of(workspace.root / "bentofile.yaml"),
        "sources": {name: digest_of(workspace.root / name) for name in sources},
        "framework": framework(),
        "needs": served(workspace, model),
        "model": model.name,
    }
    return _with_packages(made_of, more=code(workspace, [model, *views, *computed]))


def booted(workspace: Workspace, records: Iterable[Record], champion: str) -> Ingredients:
    """check-service: the bento, what it learnt from, the load, the champion, the home whose online store is tried."""
    made_of = {
        **outputs(*records),
        "champion": champion,
        "load": msgspec.to_builtins(workspace.config.load),
        "checks": _own(workspace, "service"),
        "seed": workspace.config.seed,
        **_home(workspace),
        **_own_tests(workspace, "service"),
    }
    return _with_packages(made_of, workspace, tests="service")


def served(workspace: Workspace, model: Model) -> tuple[str, ...]:
    """The installed distributions that a model's on-demand features import: without them its service does not start."""
    _, computed = workspace.catalog.pinned(model)
    found = {workspace.root / file for one in computed for file in code_files(one, workspace.root)}
    return tuple(versions(imported_outside(found, workspace.root)))


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
    return {"store": [store.home, digest_of(file), versions([store.home])]}


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
    """The project's own tests that a gate runs, the code that `predict` computes anew, the names that a mark may name.

    Nothing without a folder.
    """
    tests, catalog = _tests(workspace, on), workspace.catalog
    if not tests:
        return {}
    return {
        **tests,
        "computed": code(workspace, computed),
        "marks": [*sorted(catalog.models), *sorted({one.source for one in _readers(catalog)})],
    }


def _tests(workspace: Workspace, on: CheckOn) -> Ingredients:
    """All files in the folders of a gate's tests, what they import, pytest's settings; nothing without a folder."""
    root, inside = workspace.root, _inside(workspace, on)
    if not inside:
        return {}
    own = {path.relative_to(root).as_posix(): digest_of(path) for path in inside}
    imported = {name: syntax_digest(root / name) for name in imported_files(inside, root) if name not in own}
    settings = [_pytest_table(root), *(digest_of(root / name) for name in ("pytest.ini", "tox.ini", "setup.cfg"))]
    return {"tests": own, "imported": imported, "pytest": settings}


def _inside(workspace: Workspace, on: CheckOn) -> list[Path]:
    """The files of a gate's tests, with what pytest reads above them."""
    root = workspace.root
    places = [root / folder for folder in workspace.config.tests_of(on) if (root / folder).exists()]
    found = {path for place in places for path in ([place] if place.is_file() else place.rglob("*"))}
    found |= {parent / "conftest.py" for place in places for parent in place.parents if parent.is_relative_to(root)}
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def _with_packages(
    made_of: Ingredients, workspace: Workspace | None = None, *, tests: CheckOn | None = None, more: Any = None
) -> Ingredients:
    """The ingredients with the installed packages that their code, a gate's tests, and the code in `more` import."""
    modules = {module for digest in texts([made_of, more]) for module in outside(digest)}
    if workspace is not None and tests is not None:
        inside = _inside(workspace, tests)
        files_read = [*inside, *(workspace.root / name for name in imported_files(inside, workspace.root))]
        modules |= imported_outside(files_read, workspace.root) | ({"pytest"} if inside else set())
    return {**made_of, "uses": versions(modules)}


def _readers(catalog: Catalog) -> list[Model | FeatureView]:
    return [*catalog.models.values(), *catalog.views.values()]


def _pytest_table(root: Path) -> Ingredients:
    file = root / "pyproject.toml"
    table = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    settings: Ingredients = table.get("tool", {}).get("pytest", {})
    return settings
