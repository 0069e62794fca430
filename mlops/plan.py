"""What a change affects: the views and models whose code, data or settings differ between two trees."""

from __future__ import annotations

import fnmatch
import posixpath
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import msgspec

from mlops.closure import code_digest, function_digest, traced
from mlops.config import Config, Source
from mlops.declare import CheckOn, Declared, Model
from mlops.discover import Catalog
from mlops.errors import MlopsError
from mlops.pyproject import load

_SETTINGS = "pyproject.toml"
_EVERYTHING = (
    "bentofile.yaml",
    "requirements.lock",
    "requirements.txt",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "pylock.toml",
)
_OF_ALL = ("project.dependencies", "project.requires-python", "tool.pytest")
"""What of pyproject.toml, outside of [tool.mlops], decides what steps compute."""

_OF_NONE = ("name", "environments", "sources", "models", "monitor", "retrain")
"""Keys of [tool.mlops] that no step's result depends on, or that are compared entry by entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Affected names with their reasons; `untouched` are the models that need no work."""

    base: str
    views: Mapping[str, str]
    models: Mapping[str, str]
    untouched: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The plan in one sentence."""
        short = self.base[:12] if re.fullmatch("[0-9a-f]{40}", self.base) else self.base
        since = f" since {short}" if short else ""
        if not self.models:
            return f"Nothing that a model reads has changed{since}: no model needs work."
        return f"{len(self.models)} of {len(self.models) + len(self.untouched)} models need work{since}."

    @property
    def needed(self) -> tuple[str, ...]:
        """The models to run: as `mlops run` does, a version only where no newer one of its family is affected."""
        newest: dict[str, tuple[int, str]] = {}
        for name in self.models:
            family, _, version = name.rpartition("_v")
            newest[family] = max(newest.get(family, (0, "")), (int(version), name))
        return tuple(name for name in self.models if newest[name.rpartition("_v")[0]][1] == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trees:
    """The project in `root`, the tree of the revision `base` in `base_root`, and the paths that differ."""

    root: Path
    base_root: Path
    base: str
    changed: tuple[str, ...]


def everything(catalog: Catalog, reason: str, models: tuple[str, ...] = ()) -> Plan:
    """A plan in which these models (none named: all) need work for one reason, whatever changed."""
    wanted = dict.fromkeys([catalog.model(name).name for name in models] or catalog.models, reason)
    views = {v.name: reason for name in wanted for v in catalog.pinned(catalog.models[name])[0]}
    untouched = tuple(name for name in catalog.models if name not in wanted)
    return Plan(base="", views=views, models=wanted, untouched=untouched)


def affected(catalog: Catalog, config: Config, trees: Trees) -> Plan:
    """What differs between two trees, and what reads it.

    A lock file, a test of a gate's and a setting of the whole affect every model; a source's table, settings, schema
    or function affect those that read it; a model's settings and reviewed labels it alone; code affects what reaches
    it, function by function, so a comment affects nothing.
    """
    views = _differing(catalog.views, trees)
    computed = _differing(catalog.on_demands, trees)
    settings = _settings(catalog, config, trees)
    common = _common(catalog, config, trees) or settings.get("", "")
    models: dict[str, str] = {}
    for name, model in catalog.models.items():
        pinned_views, pinned_computed = catalog.pinned(model)
        touched = [d.name for d in (*pinned_views, *pinned_computed) if d.name in views or d.name in computed]
        read = dict.fromkeys([model.source, *(view.source for view in pinned_views)])
        sources = [settings.get(f"sources.{one}", "") or _moved(one, config.sources[one], trees) for one in read]
        # What a model reads is in its own code's closure, so that it is itself affected says nothing more then.
        own = f"{name} itself" if not touched and _differs(model, trees) else ""
        reasons = (common, settings.get(f"models.{name}", ""), *sources, *touched, own, _reviewed(model, trees))
        reason = ", ".join(dict.fromkeys(filter(None, reasons)))
        if reason:
            models[name] = f"changed: {reason}"
    untouched = tuple(name for name in catalog.models if name not in models)
    return Plan(base=trees.base, views={**views, **computed}, models=models, untouched=untouched)


def _common(catalog: Catalog, config: Config, trees: Trees) -> str:
    """What every model is computed or judged by and has changed: a lock, a test, a check of one's own."""
    gates = {folder for on in get_args(CheckOn) for folder in config.tests_of(on)}
    shared = {str(parent / "conftest.py") for folder in gates for parent in Path(folder).parents}
    places = (*gates, config.store.repo) if config.store.home != "embedded" else tuple(gates)
    for path in trees.changed:
        if path in _EVERYTHING or path in shared or any(path == one or path.startswith(f"{one}/") for one in places):
            return path
    return next(iter(_differing(catalog.checks, trees)), "")


def _settings(catalog: Catalog, config: Config, trees: Trees) -> dict[str, str]:
    """The settings that differ, by whom they concern: `models.NAME`, `sources.NAME`, or "" for every model."""
    if _SETTINGS not in trees.changed:
        return {}
    try:
        before = load(trees.base_root)
        documents = [_document(root) for root in (trees.root, trees.base_root)]
    except MlopsError:  # there were none, or they could not be read: nothing can be compared
        return {"": _SETTINGS}
    names = [field.name for field in msgspec.structs.fields(Config) if field.name not in _OF_NONE]
    common = [f"[tool.mlops] {name}" for name in names if getattr(config, name) != getattr(before, name)]
    common += [f"{key} in {_SETTINGS}" for key in _OF_ALL if _at(documents[0], key) != _at(documents[1], key)]
    found = {"": ", ".join(common)}
    for name, source in config.sources.items():
        found[f"sources.{name}"] = _fields(f"sources.{name}", source, before.sources.get(name))
    for model in catalog.models.values():
        now, then = (one.settings(model.family, model.name) for one in (config, before))
        table = model.name if model.name in config.models else model.family
        found[f"models.{model.name}"] = _fields(f"models.{table}", now, then)
    return found


def _fields(key: str, now: msgspec.Struct, before: msgspec.Struct | None) -> str:
    """The keys of a table that differ: `[tool.mlops.models.fraud] floor, margin`."""
    if before is None:
        return f"[tool.mlops.{key}]"
    names = [
        f.encode_name for f in msgspec.structs.fields(type(now)) if getattr(now, f.name) != getattr(before, f.name)
    ]
    return f"[tool.mlops.{key}] {', '.join(names)}" if names else ""


def _document(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / _SETTINGS).read_text(encoding="utf-8"))


def _at(document: Any, key: str) -> Any:
    for part in key.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _reviewed(model: Model, trees: Trees) -> str:
    """The labels that people corrected for a model, or the retrain that was accepted of it, where they changed."""
    files = (f"reviews/labels-{model.name}.csv", f"models/{model.family}.retrain.toml")
    return ", ".join(file for file in files if file in trees.changed)


def _moved(name: str, source: Source, trees: Trees) -> str:
    """What of a source differs: its schema, its files as far as they are in the repository, or its function."""
    schema = source.schema or f"features/{name}.schema.yaml"
    place = posixpath.normpath(source.path) if source.path else ""
    for path in trees.changed:
        if path in (schema, place) or (place and (path.startswith(f"{place}/") or fnmatch.fnmatch(path, place))):
            return path
    module, _, function = (source.function or "").partition(":")
    now, before = (function_digest(module, function, root) for root in (trees.root, trees.base_root))
    return str(source.function) if now != before else ""


def _differing(declared: Mapping[str, Declared], trees: Trees) -> dict[str, str]:
    return {name: "changed: its code" for name, one in declared.items() if _differs(one, trees)}


def _differs(one: Declared, trees: Trees) -> bool:
    """Whether the code that a declaration reaches is another one in the base.

    The base is read only where a file of that code has changed, or one is gone, which may have been among them.
    """
    code = [path for path in trees.changed if path.endswith(".py")]
    if not code:
        return False
    now, files = traced(one, trees.root)
    if files.isdisjoint(code) and all((trees.root / path).is_file() for path in code):
        return False
    return now != code_digest(one, trees.base_root)
