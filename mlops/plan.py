"""What a change affects: the views and models whose code closure differs between two trees."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops.closure import code_digest, function_digest
from mlops.config import Source
from mlops.declare import Declared
from mlops.discover import Catalog

_EVERYTHING = ("pyproject.toml", "requirements.lock", "bentofile.yaml")


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
        if not self.models:
            return f"Nothing that a model reads has changed since {self.base}."
        return f"{len(self.models)} of {len(self.models) + len(self.untouched)} models need work since {self.base}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Trees:
    """The project in `root`, the tree of the revision `base` in `base_root`, and the paths that differ."""

    root: Path
    base_root: Path
    base: str
    changed: tuple[str, ...]


def affected(catalog: Catalog, sources: Mapping[str, Source], trees: Trees) -> Plan:
    """What differs between two trees, and what reads it.

    A settings file affects every model; a source's table, schema or function affects those that read it; code
    affects what reaches it, function by function, so a comment affects nothing.
    """
    root, base_root, changed = trees.root, trees.base_root, trees.changed
    views = _differing(catalog.views, root, base_root)
    computed = _differing(catalog.on_demands, root, base_root)
    settings = next((path for path in changed if path in _EVERYTHING), "")
    models: dict[str, str] = {}
    for name, model in catalog.models.items():
        pinned_views, pinned_computed = catalog.pinned(model)
        touched = [d.name for d in (*pinned_views, *pinned_computed) if d.name in views or d.name in computed]
        read = dict.fromkeys([model.source, *(view.source for view in pinned_views)])
        moved = ", ".join(found for found in (_moved(name, sources[name], trees) for name in read) if found)
        own = code_digest(model, root) != code_digest(model, base_root)
        reason = settings or moved or ", ".join(touched) or (f"{name} itself" if own else "")
        if reason:
            models[name] = f"changed: {reason}"
    untouched = tuple(name for name in catalog.models if name not in models)
    return Plan(base=trees.base, views={**views, **computed}, models=models, untouched=untouched)


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


def _differing(declared: Mapping[str, Declared], root: Path, base_root: Path) -> dict[str, str]:
    return {
        name: "changed: its code"
        for name, one in declared.items()
        if code_digest(one, root) != code_digest(one, base_root)
    }
