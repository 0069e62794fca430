"""Features at rest: the protocol and its homes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.stores.protocol import FeatureStore
    from mlops.workspace import Workspace


def open_store(workspace: Workspace, home: Path | None = None) -> FeatureStore:
    """The project's feature store; nothing is created before something is written.

    `home` is the folder of the environment whose online store is meant; None: the workspace's own.
    """
    from mlops.stores.embedded import EmbeddedStore

    return EmbeddedStore(home or workspace.features, workspace.objects)
