"""Features at rest: the protocol and its homes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.config import Config
    from mlops.stores.protocol import FeatureStore
    from mlops.workspace import Workspace


def open_store(workspace: Workspace, home: Path | None = None) -> FeatureStore:
    """The project's feature store; nothing is created before something is written.

    `home` is the folder of the environment whose online store is meant; None: the workspace's own.
    """
    if workspace.config.store.home == "feast":
        return _in_feast(workspace, home)
    from mlops.stores.embedded import EmbeddedStore

    return EmbeddedStore(home or workspace.features, workspace.objects)


def online_file(config: Config) -> str:
    """The name of the file in an environment's folder that its services read, or that says where they do."""
    return "online.json" if config.store.home == "feast" else "online.sqlite"


def _in_feast(workspace: Workspace, home: Path | None) -> FeatureStore:
    from mlops.adapters.feast import open_feast
    from mlops.closure import code_digest
    from mlops.stores.feast import FeastStore
    from mlops.stores.reading import Address

    settings, environment = workspace.config.store, home.name if home else ""
    repository = workspace.root / settings.repo
    own = repository / f"feature_store.{environment}.yaml"
    file = own if environment and own.is_file() else repository / "feature_store.yaml"

    def code(view: str) -> dict[str, str]:
        return {"mlops.code": code_digest(workspace.catalog.views[view], workspace.root)}

    return FeastStore(
        home or workspace.features,
        workspace.objects,
        open_feast(file),
        about=code,
        owner=settings.owner,
        address=Address(
            repository=str(file),
            server=settings.server.replace("{environment}", environment),
            seconds=settings.seconds,
        ),
    )
