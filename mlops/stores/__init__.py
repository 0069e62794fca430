"""Features at rest: the protocol and its homes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops.stores.protocol import FeatureStore
    from mlops.workspace import Workspace


def open_store(workspace: Workspace) -> FeatureStore:
    """The project's feature store; nothing is created before something is written."""
    from mlops.stores.embedded import EmbeddedStore

    return EmbeddedStore(workspace.features, workspace.objects)
