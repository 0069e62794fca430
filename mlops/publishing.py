"""Puts the stored features that a release reads where its service reads them, before it goes live.

Views of different versions lie side by side in an environment's online store, so a release that is
returned to finds its own.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from mlops.adapters.index import Index
from mlops.contract import Contract
from mlops.errors import DeploymentFailed
from mlops.release import CONTRACT, PAYLOAD, Manifest, folder
from mlops.stores import open_store
from mlops.workspace import Workspace


def publish_features(workspace: Workspace, index: Index, manifest: Manifest, online: Path) -> None:
    """Publish the newest computed values of every view that the release pins.

    DeploymentFailed where a pinned view has never been computed here: the release could not answer.
    """
    payload = folder(workspace.releases, manifest.release) / PAYLOAD
    contract = msgspec.json.decode((payload / CONTRACT).read_bytes(), type=Contract)
    store = open_store(workspace, online.parent)
    for view in dict.fromkeys(stored.view for stored in contract.stored):
        built = index.latest("build-features", view)
        declared = workspace.catalog.views.get(view)
        if built is None or declared is None:
            raise DeploymentFailed(
                f"{manifest.release} reads {view}, which has not been computed on this machine",
                next_step=f"compute it: `mlops run {manifest.model}`",
            )
        store.publish(declared, built.outputs["features"])
    reads = {
        view: [stored.column for stored in contract.stored if stored.view == view]
        for view in dict.fromkeys(stored.view for stored in contract.stored)
    }
    if reads:
        store.announce(manifest.model, reads, {"mlops.release": manifest.release, "mlops.code": manifest.code})
