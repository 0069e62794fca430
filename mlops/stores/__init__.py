"""Features at rest: the protocol and its homes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
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


@contextmanager
def apart(workspace: Workspace, place: Path) -> Iterator[FeatureStore]:
    """A store of the same home in the folder `place`, empty and of its own: what is published there nobody else reads.

    In Feast the same kinds of stores are used under another project's name, and emptied when the block ends.
    """
    from mlops.adapters.objects import ObjectStore

    objects = ObjectStore(place / "objects")
    if workspace.config.store.home != "feast":
        from mlops.stores.embedded import EmbeddedStore

        yield EmbeddedStore(place, objects)
        return
    from mlops.adapters.feast import configured_apart, open_feast
    from mlops.stores.feast import FeastStore
    from mlops.stores.reading import Address

    file = configured_apart(workspace.root / workspace.config.store.repo / "feature_store.yaml", place)
    store = FeastStore(place, objects, open_feast(file), address=Address(repository=str(file)))
    try:
        yield store
    finally:
        store.prune(())


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
