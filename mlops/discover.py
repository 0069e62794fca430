"""Finds the declarations in features/ and models/, and checks that they fit each other and the configuration.

Modules are imported once, from the project's root; nothing is registered anywhere.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from mlops import syntax
from mlops.config import Config
from mlops.declare import ASKED, Check, Declared, FeatureView, Model, OnDemand
from mlops.errors import DeclarationError, nearest

FOLDERS = ("features", "models")
RESERVED = "__row"
"""The training table's own column, which no feature may be called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All declarations of a project, by name."""

    views: Mapping[str, FeatureView]
    on_demands: Mapping[str, OnDemand]
    models: Mapping[str, Model]
    checks: Mapping[str, Check]

    def model(self, name: str) -> Model:
        """The model of that name, or the newest version of that family."""
        if name in self.models:
            return self.models[name]
        versions = [m for m in self.models.values() if m.family == name]
        if not versions:
            raise DeclarationError(f"no model is called {name!r}", next_step=nearest(name, self.models))
        return max(versions, key=lambda m: m.version)

    def families(self) -> dict[str, list[Model]]:
        """Each family's versions, oldest first."""
        families: dict[str, list[Model]] = {}
        for model in sorted(self.models.values(), key=lambda m: (m.family, m.version)):
            families.setdefault(model.family, []).append(model)
        return families

    def pinned(self, model: Model) -> tuple[list[FeatureView], list[OnDemand]]:
        """The views and on-demand features that a model reads, directly or through on-demand inputs.

        On-demand features come in an order in which each one's inputs are there before it.
        """
        views: dict[str, FeatureView] = {}
        computed: dict[str, OnDemand] = {}
        for name in model.features:
            self._collect(name, views, computed)
        return list(views.values()), list(computed.values())

    def _collect(self, name: str, views: dict[str, FeatureView], computed: dict[str, OnDemand]) -> None:
        view = self.views.get(name.partition(".")[0])
        if view is not None:
            views[view.name] = view
        elif name in self.on_demands and name not in computed:
            for inner in self.on_demands[name].inputs:
                self._collect(inner, views, computed)
            computed[name] = self.on_demands[name]


def discover(root: Path, config: Config) -> Catalog:
    """Import the project's features/ and models/ and give what they declare, consistent and complete.

    Raises DeclarationError with file and line: a module that does not import, a name declared twice, an
    unknown source, an unknown feature, a circle of on-demand features.
    """
    with_root_first(root)
    found: dict[str, Declared] = {}
    for path in _modules(root):
        _refuse_shadowed(path, root)
        for declared in _declared_in(root, path):
            known = found.get(declared.name)
            if known is not None:
                raise DeclarationError(
                    f"{declared.origin}: {declared.name} is declared already at {known.origin}",
                    next_step=f"give the newer one the next version, {declared.family}_v{declared.version + 1}"
                    if not isinstance(declared, Check)
                    else "give one of them another name",
                )
            found[declared.name] = declared
    catalog = Catalog(
        views={n: d for n, d in found.items() if isinstance(d, FeatureView)},
        on_demands={n: d for n, d in found.items() if isinstance(d, OnDemand)},
        models={n: d for n, d in found.items() if isinstance(d, Model)},
        checks={n: d for n, d in found.items() if isinstance(d, Check)},
    )
    _check(catalog, config)
    return catalog


def with_root_first(root: Path) -> None:
    """Make `features` and `models` mean those of `root`, also where another project was read before."""
    place = str(root)
    if place in sys.path:
        sys.path.remove(place)
    sys.path.insert(0, place)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in FOLDERS and not _is_below(module, root):
            del sys.modules[name]
    importlib.invalidate_caches()
    for name in FOLDERS:
        if name not in sys.modules and (root / name).is_dir() and not (root / name / "__init__.py").exists():
            sys.modules[name] = _package(name, root / name)


def _package(name: str, folder: Path) -> ModuleType:
    """A package for a folder without `__init__.py`: a `features` with one, anywhere on the path, would win over it."""
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    return importlib.util.module_from_spec(spec)


def _is_below(module: object, root: Path) -> bool:
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", []))
    return bool(places) and all(Path(place).is_relative_to(root) for place in places)


def _modules(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted(path for path in (root / folder).rglob("*.py") if "__pycache__" not in path.parts)


def _declared_in(root: Path, path: Path) -> Iterator[Declared]:
    parts = path.relative_to(root).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    try:
        module = importlib.import_module(name)
    except DeclarationError:
        raise
    except (Exception, SystemExit) as error:
        raise DeclarationError(
            f"{_line_of(error, path, root)}: cannot import {name}: {type(error).__name__}: {error}",
            next_step="mend that line; `python -c 'import " + name + "'` shows the whole traceback",
        ) from error
    for declared in vars(module).values():
        if isinstance(declared, Declared) and declared.module == module.__name__:
            # Origins are shown in verdicts, which other machines read: no path of this one may be in them.
            where = replace(declared.origin, file=_shown(Path(declared.origin.file), root))
            yield replace(declared, origin=where)


def _line_of(error: BaseException, path: Path, root: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(Path(error.filename), root)}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f"{_shown(path, root)}:{frames[-1].lineno if frames else 1}"


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _refuse_shadowed(path: Path, root: Path) -> None:
    """A second function of the same name silently replaces the first, before any decorator could tell."""
    try:
        body = syntax.parse(path.read_text(encoding="utf-8"), str(path)).body
    except (SyntaxError, UnicodeDecodeError):
        return  # the import reports it, with its line
    seen: dict[str, int] = {}
    place = _shown(path, root)
    for node in body:
        if not isinstance(node, ast.FunctionDef) or not node.decorator_list:
            continue
        if node.name in seen:
            raise DeclarationError(
                f"{place}:{node.lineno}: {node.name} is declared already at {place}:{seen[node.name]}",
                next_step="give the newer one the next version",
            )
        seen[node.name] = node.lineno


def _check(catalog: Catalog, config: Config) -> None:
    readers: list[FeatureView | Model] = [*catalog.views.values(), *catalog.models.values()]
    for reader in readers:
        if reader.source not in config.sources:
            raise DeclarationError(
                f"{reader.origin}: {reader.name} reads the unknown source {reader.source!r}",
                next_step=f"{nearest(reader.source, config.sources)} Or add [tool.mlops.sources.{reader.source}]",
            )
    for name in config.sources:
        feature = catalog.views.get(name) or catalog.on_demands.get(name)
        if feature is not None:
            raise DeclarationError(
                f"{feature.origin}: {name} is called like the source [tool.mlops.sources.{name}] of pyproject.toml",
                next_step="a check asks for both by their names: give the source another one",
            )
    for view in catalog.views.values():
        _refuse_row(view)
    for check in catalog.checks.values():
        _check_own(check, catalog, config)
    for model in catalog.models.values():
        for name in model.features:
            _check_feature(catalog, name, model)
    for computed in catalog.on_demands.values():
        _check_inputs(catalog, computed, ())


def _refuse_row(view: FeatureView) -> None:
    """The training table has a column of its own, which says where in its source a row stood."""
    if RESERVED in (*view.keys, *view.columns):
        raise DeclarationError(
            f"{view.origin}: {view.name} has a column {RESERVED!r}, which is the training table's own",
            next_step="give it another name",
        )


def _check_own(check: Check, catalog: Catalog, config: Config) -> None:
    """A check that no gate would call must not look as if it were enforced."""
    asked = list(inspect.signature(check.function).parameters)
    if check.on == "data" and (len(asked) != 1 or asked[0] not in config.sources):
        raise DeclarationError(
            f"{check.origin}: a check on data has one parameter, named as the source that it looks at",
            next_step=nearest(asked[0], config.sources) if asked else f"name one of {', '.join(config.sources)}",
        )
    known = [*ASKED[check.on]]
    if check.on == "features":
        if not catalog.views:
            raise DeclarationError(
                f"{check.origin}: a check on features, but the project declares no feature view",
                next_step='declare one, or check the table: on="data"',
            )
        known += [*catalog.views, *{view.source for view in catalog.views.values()}]
    for name in asked if check.on != "data" else ():
        if name not in known:
            raise DeclarationError(
                f"{check.origin}: a check on {check.on} cannot ask for {name!r}; it can have {', '.join(known)}",
                next_step=nearest(name, known),
            )


def _check_feature(catalog: Catalog, name: str, reader: Declared) -> None:
    if name in catalog.on_demands:
        return
    view_name, _, column = name.partition(".")
    view = catalog.views.get(view_name)
    if view is None:
        raise DeclarationError(
            f"{reader.origin}: {reader.name} reads the feature {name!r}, which nobody declares",
            next_step=nearest(name, [*catalog.views, *catalog.on_demands]),
        )
    if column and view.columns and column not in view.columns:
        raise DeclarationError(
            f"{reader.origin}: {reader.name} reads {name!r}, but {view_name} has no column {column!r}",
            next_step=nearest(column, view.columns),
        )


def _check_inputs(catalog: Catalog, computed: OnDemand, above: tuple[str, ...]) -> None:
    if computed.name in above:
        raise DeclarationError(
            f"{computed.origin}: a circle of on-demand features: {' -> '.join((*above, computed.name))}",
            next_step="let one of them read only request fields and stored features",
        )
    for name in computed.inputs:
        if name in catalog.on_demands:
            _check_inputs(catalog, catalog.on_demands[name], (*above, computed.name))
        elif "." in name:
            _check_feature(catalog, name, computed)
