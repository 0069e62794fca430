"""Puts the stored features that releases read where their services read them, before they go live and ever after.

Views of different versions lie side by side in an environment's online store, so a release that is returned to finds
its own; and those of every release that the environment retains are published together, so it finds them fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlops import pins
from mlops.adapters.index import Index
from mlops.closure import code_digest
from mlops.contract import Contract
from mlops.declare import FeatureView
from mlops.errors import DeploymentFailed
from mlops.release import Manifest
from mlops.stores import open_store
from mlops.verdict import Record
from mlops.workspace import Workspace

Build = Callable[[tuple[FeatureView, ...]], None]
"""Computes views, so that the index knows them."""

_NEVER = "was never computed here"


@dataclass(frozen=True, slots=True)
class Fresh:
    """A run's records, which come before older ones, and when it read each source: then what is gone from one goes."""

    done: Mapping[str, Record] = field(default_factory=dict)
    read_at: Mapping[str, float] = field(default_factory=dict)

    def built(self, view: FeatureView) -> Record | None:
        """The run's record of a view."""
        return self.done.get(f"build-features:{view.name}")

    def as_of(self, view: FeatureView) -> float | None:
        """When the source of a view that the run built was read."""
        return self.read_at.get(view.source) if self.built(view) else None


_NOTHING = Fresh()


def publish_features(
    workspace: Workspace,
    index: Index,
    manifest: Manifest,
    online: Path,
    *,
    fresh: Fresh = _NOTHING,
    build: Build | None = None,
) -> dict[str, str]:
    """Publish the newest values of every view that the release pins, and of those that the others retained here do.

    `fresh` is what a run built; `build` computes what was never computed. Gives the views
    of other releases that stay as they are, with the reason. DeploymentFailed, before anything is published, where a
    view that the release pins is gone, was edited, or cannot be computed: it could not answer, or not the same.
    """
    _, contract = pins.read(workspace, manifest.release)
    needed = {name: _pinned(workspace, manifest, name) for name in pins.views_of(contract)}
    lacking = tuple(view for view in needed.values() if _newest(workspace, index, view, fresh) is None)
    if lacking and build is not None:
        build(lacking)
    for view in lacking:
        if _newest(workspace, index, view, fresh) is None:
            raise DeploymentFailed(
                f"{manifest.release} reads {view.name}, which {_NEVER}; nothing was deployed",
                next_step=f"compute it: `mlops materialize {view.name}`",
            )
    left = publish_retained(workspace, index, online, fresh=fresh, first=tuple(needed.values()))
    _announce(workspace, manifest, contract, online)
    return left


def publish_retained(
    workspace: Workspace,
    index: Index,
    online: Path,
    *,
    fresh: Fresh = _NOTHING,
    first: tuple[FeatureView, ...] = (),
) -> dict[str, str]:
    """Publish the newest values of every view that releases retained here read, and of `first`; gives those it left.

    A view that is gone or was edited stays online as it is: its old values are right, if stale; other code's are not.
    """
    store = open_store(workspace, online.parent)
    environment = online.parent.name
    releases = pins.retained(workspace, environment)[0] if environment in workspace.config.environments else ()
    left: dict[str, str] = {}
    views = {view.name: view for view in first}
    for one in releases:
        for name in one.views:
            if name not in workspace.catalog.views:
                left[name] = "is gone"
            elif not pins.same(workspace, name, one.manifest):
                left[name] = "was edited"
            else:
                views[name] = workspace.catalog.views[name]
    for name, view in views.items():
        if name in left and view not in first:
            continue
        record = _newest(workspace, index, view, fresh)
        if record is None:
            left[name] = _NEVER
        else:
            left.pop(name, None)
            store.publish(view, record.outputs["features"], as_of=fresh.as_of(view))
    return left


def built(workspace: Workspace, index: Index, view: FeatureView) -> Record | None:
    """The newest record of a view as it is declared now; None where there is none."""
    return index.latest("build-features", view.name, code=code_digest(view, workspace.root))


def _newest(workspace: Workspace, index: Index, view: FeatureView, fresh: Fresh) -> Record | None:
    return fresh.built(view) or built(workspace, index, view)


def _pinned(workspace: Workspace, manifest: Manifest, name: str) -> FeatureView:
    view = workspace.catalog.views.get(name)
    if view is None or not pins.same(workspace, name, manifest):
        what = "which features/ does not declare any more" if view is None else "which was edited since"
        place = pins.source(workspace, name, manifest.release)
        raise DeploymentFailed(
            f"{manifest.release} reads {name}, {what}; nothing was deployed",
            next_step=f"put it back{f' (its source is in {place})' if place else ''}, then deploy again",
        )
    return view


def _announce(workspace: Workspace, manifest: Manifest, contract: Contract, online: Path) -> None:
    reads = {
        view: [stored.column for stored in contract.stored if stored.view == view] for view in pins.views_of(contract)
    }
    if reads:
        tags = {"mlops.release": manifest.release, "mlops.code": manifest.code}
        open_store(workspace, online.parent).announce(manifest.model, reads, tags)
