"""The release that serves, as the one to beat: which it is, and what it predicts for the challenger's rows.

Each is judged through its own feature versions: the champion's stored features are looked up anew for the
held-out rows, and its on-demand features are computed by its own code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from mlops.contract import Contract
from mlops.errors import GateFailed
from mlops.release import CONTRACT, PAYLOAD, Manifest, folder
from mlops.serving.integrity import read_manifest
from mlops.serving.predictors import Prediction
from mlops.serving.runtime import load_release
from mlops.stores import open_store
from mlops.stores.protocol import Lookup
from mlops.targets import chosen
from mlops.verdict import Record
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

PREFERRED = "production"


def live(workspace: Workspace, family: str, environment: str | None) -> Manifest | None:
    """The live release of the family: in production, else where the challenger wants to go, else anywhere."""
    known = workspace.config.environments
    for place in dict.fromkeys([PREFERRED, *([environment] if environment else []), *known]):
        release = chosen.target(workspace, place).standing(family).live if place in known else None
        if release is not None:
            return read_manifest(folder(workspace.releases, release))
    return None


def against(workspace: Workspace, family: str, environment: str | None, work: Record) -> Manifest | None:
    """The release to compare with, given the challenger's work (its training, or its table).

    When the live release was made of this very work, it is not its own champion: the one before it is, so
    the same push judged twice is judged alike.
    """
    champion = live(workspace, family, environment)
    if champion is not None and work.key and champion.records.get(work.name) == work.key:
        return _before(workspace, champion)
    return champion


def views(workspace: Workspace, family: str, environment: str | None) -> tuple[str, ...]:
    """The views that the live release, and the one that it was judged against, read."""
    champion = live(workspace, family, environment)
    both = [champion, None if champion is None else _before(workspace, champion)]
    return tuple(dict.fromkeys(s.view for one in both if one is not None for s in contract(workspace, one).stored))


def contract(workspace: Workspace, manifest: Manifest) -> Contract:
    """What a release reads and answers."""
    file = folder(workspace.releases, manifest.release) / PAYLOAD / CONTRACT
    return msgspec.json.decode(file.read_bytes(), type=Contract)


def predictions(
    workspace: Workspace, manifest: Manifest, table: pd.DataFrame, features: Mapping[str, Record]
) -> Prediction:
    """What the champion predicts for the rows of `table`, in their order.

    GateFailed where it reads a view that is no longer declared: without its features nothing can be compared.
    """
    loaded = load_release(workspace.releases, manifest.release, None)
    try:
        lookups = _lookups(workspace, manifest, loaded.contract, features)
        timestamp = loaded.contract.timestamp
        source = table.drop(columns=[s.name for s in loaded.contract.stored if s.name in table])
        if lookups and timestamp is not None:
            found = open_store(workspace).point_in_time(source, lookups, timestamp=timestamp)
            source = source.assign(**{name: found[name].to_numpy() for name in found})
        return loaded.predict_table(source)
    finally:
        loaded.close()


def _before(workspace: Workspace, manifest: Manifest) -> Manifest | None:
    place = folder(workspace.releases, manifest.champion)
    return read_manifest(place) if manifest.champion and place.is_dir() else None


def _lookups(workspace: Workspace, manifest: Manifest, read: Contract, features: Mapping[str, Record]) -> list[Lookup]:
    lookups = []
    for name in dict.fromkeys(stored.view for stored in read.stored):
        view = workspace.catalog.views.get(name)
        if view is None or name not in features:
            raise GateFailed(
                f"the champion {manifest.release} reads {name}, which features/ no longer declares",
                next_step=f"put {name} back: a version stays as long as a live release reads it",
            )
        columns = {stored.column: stored.name for stored in read.stored if stored.view == name}
        lookups.append(Lookup(view=view, written=features[name].outputs["features"], columns=columns))
    return lookups
