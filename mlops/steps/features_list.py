"""`features`: every view with what is stored of it, how fresh it is, who reads it, and what says the same already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

from mlops import pins
from mlops.closure import meaning
from mlops.declare import FeatureView, OnDemand
from mlops.publishing import built
from mlops.stores import open_store
from mlops.stores.differences import Written, alike, kinds
from mlops.stores.reading import published
from mlops.targets import chosen
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.adapters.index import Index
    from mlops.workspace import Workspace

VERSION = 1


def features(workspace: Workspace, index: Index) -> Record:
    """Facts `views`, `on_demand` and `alike` (near-duplicate columns of different views), each as plain values."""
    catalog = workspace.catalog
    releases, _ = pins.retained(workspace)
    stored = {name: _written(workspace, view, built(workspace, index, view)) for name, view in catalog.views.items()}
    return Record(
        step="features",
        subject="",
        facts={
            "views": [_view(workspace, view, stored[view.name], releases) for view in catalog.views.values()],
            "on_demand": [_on_demand(workspace, one, releases) for one in catalog.on_demands.values()],
            "alike": _alike(workspace, stored),
        },
    )


def _view(
    workspace: Workspace, view: FeatureView, written: Written | None, releases: Iterable[pins.Retained]
) -> dict[str, Any]:
    held = [str(one.holder) for one in releases if view.name in one.views]
    models = [model.name for model in workspace.catalog.models.values() if view in workspace.catalog.pinned(model)[0]]
    return {
        "name": view.name,
        "family": view.family,
        "version": view.version,
        "about": view.doc,
        "origin": str(view.origin),
        "source": view.source,
        "entity": view.entity,
        "timestamp": view.timestamp,
        "created": view.created,
        "ttl_seconds": view.ttl.total_seconds() if view.ttl else None,
        "window_seconds": view.window.total_seconds() if view.window else None,
        **_stored(workspace, view, written),
        "online": _online(workspace, view),
        "models": models,
        "releases": held,
        "unused": not models and not held,
    }


def _written(workspace: Workspace, view: FeatureView, record: Record | None) -> Written | None:
    """The newest history of a view; None where it was never computed, or its objects are gone."""
    name = record.outputs["features"] if record is not None else ""
    return Written(view=view, written=name) if name and workspace.objects.has(name) else None


def _stored(workspace: Workspace, view: FeatureView, written: Written | None) -> dict[str, Any]:
    """Under `stored` counts and times, None where nothing is; under `columns` what is known of each."""
    if written is None:
        columns = [{"name": name, "description": text} for name, text in view.columns.items()]
        return {"stored": None, "columns": columns}
    about, types = open_store(workspace).statistics(view, written.written), kinds(workspace.objects, written)
    return {
        "stored": {"rows": about.rows, "entities": about.entities, "oldest": about.oldest, "newest": about.newest},
        "columns": [
            {"name": name, "type": types[name], "description": view.columns.get(name, ""), **asdict(column)}
            for name, column in about.columns.items()
        ],
    }


def _online(workspace: Workspace, view: FeatureView) -> dict[str, Any]:
    """By environment, when the view was published last, its newest row, and the entities held."""
    found = {}
    for name in workspace.config.environments:
        for one in published(chosen.local(workspace, name).online):
            if one.view == view.name:
                found[name] = {"published": one.published, "newest": one.newest, "entities": one.rows}
    return found


def _on_demand(workspace: Workspace, one: OnDemand, releases: Iterable[pins.Retained]) -> dict[str, Any]:
    models = [model.name for model in workspace.catalog.models.values() if one in workspace.catalog.pinned(model)[1]]
    held = [str(held.holder) for held in releases if any(c.name == one.name for c in held.contract.computed)]
    return {
        "name": one.name,
        "about": one.doc,
        "origin": str(one.origin),
        "inputs": list(one.inputs),
        "models": models,
        "releases": held,
        "unused": not models and not held,
    }


def _alike(workspace: Workspace, stored: Mapping[str, Written | None]) -> list[dict[str, Any]]:
    """Near-duplicates between different families: versions of one family are alike by intention."""
    views = workspace.catalog.views
    found: list[dict[str, Any]] = []
    pairs = [
        (one, other)
        for one, other in combinations(views.values(), 2)
        if one.family != other.family and one.entity == other.entity
    ]
    for one, other in pairs:
        ours, theirs = stored[one.name], stored[other.name]
        if _code(workspace, one) == _code(workspace, other):
            found.append({"first": one.name, "second": other.name, "why": "one code"})
        elif ours and theirs:
            found += [
                {
                    "first": f"{one.name}.{like.first}",
                    "second": f"{other.name}.{like.second}",
                    "why": "equal values" if like.same else "correlated values",
                    "equal": like.equal,
                    "correlation": like.correlation,
                    "rows": like.rows,
                }
                for like in alike(workspace.objects, ours, theirs)
            ]
    return found


def _code(workspace: Workspace, view: FeatureView) -> str:
    return meaning(view.module, view.name, workspace.root)
