"""`materialize`: the newest computed values of views, put where the services of an environment read them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlops import pins
from mlops.declare import FeatureView
from mlops.errors import DeclarationError, NothingToDo, nearest
from mlops.stores import open_store
from mlops.targets import chosen
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1


def materialize(
    workspace: Workspace,
    *,
    environment: str,
    views: Sequence[FeatureView],
    built: Mapping[str, Record],
    as_of: Mapping[str, float],
) -> Record:
    """Publish `views` into an environment; `built` are their records by name, `as_of` says when sources were read.

    Facts under `views`: the entities that are online, and the time of the newest row. Under `left`: the views that
    stay as they are, because a release retained there was made with other code; its old values are right, if stale.
    """
    online = chosen.local(workspace, environment).online
    store = open_store(workspace, online.parent)
    left = _held(workspace, environment)
    fresh = {}
    for view in views:
        if view.name in left:
            continue
        record = built[view.name]
        entities = store.publish(view, record.outputs["features"], as_of=as_of[view.source])
        fresh[view.name] = {"entities": entities, "newest": record.facts["newest"]}
    stale = "".join(f"; {name} {why} and stays as it is" for name, why in left.items())
    return Record(
        step="materialize",
        subject=environment,
        facts={
            "environment": environment,
            "views": fresh,
            "left": left,
            "published": time.time(),
            "summary": f"{len(fresh)} published{stale}",
        },
    )


def wanted(workspace: Workspace, names: Sequence[str]) -> tuple[FeatureView, ...]:
    """The views of these names; without names, those that declared models and retained releases read.

    DeclarationError for a name that nobody declares, NothingToDo where no view is read.
    """
    declared = workspace.catalog.views
    for name in names:
        if name not in declared:
            raise DeclarationError(f"no feature view is called {name!r}", next_step=nearest(name, declared))
    if names:
        return tuple(declared[name] for name in dict.fromkeys(names))
    read = {v.name: v for model in workspace.catalog.models.values() for v in workspace.catalog.pinned(model)[0]}
    read |= {view.name: view for view in pins.kept(workspace)}
    if not read:
        raise NothingToDo(
            "no feature view is read by a model or a retained release",
            next_step="name the views to compute: `mlops materialize VIEW`",
        )
    return tuple(read.values())


def used(workspace: Workspace) -> tuple[str, ...]:
    """The environments to which something was deployed."""
    return tuple(name for name in workspace.config.environments if chosen.target(workspace, name).families())


def _held(workspace: Workspace, environment: str) -> dict[str, str]:
    """The views that a release retained in the environment reads with other code than is declared, and why."""
    found: dict[str, str] = {}
    for one in pins.retained(workspace, environment)[0]:
        for name in one.views:
            if name not in workspace.catalog.views:
                found[name] = "is gone"
            elif not pins.same(workspace, name, one.manifest):
                found[name] = "was edited"
    return found
