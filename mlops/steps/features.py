"""`features export`: the project's views and models as a Feast repository, for whoever wants to go on from there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.adapters.feast import Described
from mlops.adapters.feast_files import MARK, Service, definitions, settings
from mlops.adapters.files import disk_errors, write_atomically
from mlops.closure import code_digest
from mlops.declare import FeatureView, Model
from mlops.errors import NothingToDo, UsageError
from mlops.publishing import built
from mlops.stores.feast_tables import History, columns_of, entity_kind
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.adapters.index import Index
    from mlops.workspace import Workspace

VERSION = 1
# Not features.py: `feast apply` would import the package `features` of a project on the path instead.
FILE, SETTINGS = "feature_definitions.py", "feature_store.yaml"


def export(workspace: Workspace, index: Index, *, folder: Path) -> Record:
    """Write `folder`: the definitions anew, feature_store.yaml where there is none, each view's history below data/.

    NothingToDo where no view is declared or one was never computed; UsageError where a person wrote the definitions.
    """
    catalog = workspace.catalog
    if not catalog.views:
        raise NothingToDo("no feature view is declared", next_step="declare one in features/: docs/declarations.md")
    target = folder / FILE
    _refuse_a_person_s(target)
    _refuse_the_home_s(workspace, folder)
    views = [_described(workspace, index, view, folder) for view in catalog.views.values()]
    columns = {view.name: tuple(view.columns) for view in views}
    services = [one for model in catalog.models.values() if (one := _service(workspace, model, columns)).reads]
    text = definitions(workspace.config.name, views, services, list(catalog.on_demands))
    write_atomically(target, text.encode())
    if not (folder / SETTINGS).exists():
        write_atomically(folder / SETTINGS, settings(workspace.config.name).encode())
    return Record(
        step="features",
        subject="export",
        facts={
            "folder": str(folder),
            "views": list(columns),
            "services": [service.name for service in services],
            "left out": list(catalog.on_demands),
        },
    )


def _described(workspace: Workspace, index: Index, view: FeatureView, folder: Path) -> Described:
    record = built(workspace, index, view)
    if record is None:
        raise NothingToDo(
            f"{view.name} has never been computed here as it is now, so its columns are not known",
            next_step=f"compute it: `mlops materialize {view.name}`",
        )
    stored = History(view, record.outputs["features"], workspace.objects, workspace.features / "feast")
    kinds = stored.kinds()
    file = f"{view.name}.parquet"
    _copied(Path(stored.whole()), folder / "data" / file)
    return Described(
        name=view.name,
        entity=view.entity,
        entity_kind=entity_kind(view, kinds[view.entity]),
        timestamp=view.timestamp,
        created=view.created,
        ttl=view.ttl,
        columns=columns_of(view, kinds),
        described=dict(view.columns),
        path=file,
        description=view.doc,
        owner=workspace.config.store.owner,
        tags={"mlops.version": str(view.version), "mlops.code": code_digest(view, workspace.root)},
    )


def _service(workspace: Workspace, model: Model, columns: Mapping[str, tuple[str, ...]]) -> Service:
    """The columns that a model reads, itself or by an on-demand feature."""
    views, computed = workspace.catalog.pinned(model)
    names = [*model.features, *(name for one in computed for name in one.inputs)]
    reads = {
        view.name: [column for column in columns[view.name] if view.name in names or f"{view.name}.{column}" in names]
        for view in views
    }
    return Service(
        name=model.name, description=model.doc, reads={view: found for view, found in reads.items() if found}
    )


def _copied(source: Path, target: Path) -> None:
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _refuse_a_person_s(target: Path) -> None:
    if target.exists() and MARK not in target.read_text(encoding="utf-8", errors="replace"):
        raise UsageError(
            f"{target} is there already, and was not written by this command",
            next_step="name another folder: `mlops features export --to feast DIR`",
        )


def _refuse_the_home_s(workspace: Workspace, folder: Path) -> None:
    """`feast apply` removes from a registry what its repository does not name, and with it what deployments noted."""
    store = workspace.config.store
    if store.home == "feast" and folder.resolve() == (workspace.root / store.repo).resolve():
        raise UsageError(
            f"{folder} is the home of the features, whose registry the deployments write",
            next_step="name another folder: `mlops features export --to feast DIR`",
        )
