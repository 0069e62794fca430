"""The release that serves, as the one to beat: which it is, and what it predicts for the challenger's rows.

Each is judged through its own feature versions: the champion's stored features are looked up anew for the
held-out rows, and its on-demand features are computed by its own code.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlops.adapters import models
from mlops.contract import Contract
from mlops.errors import GateFailed
from mlops.release import BENTO, CONTRACT, PAYLOAD, Manifest, folder
from mlops.serving.integrity import NotWhole, read_manifest, verify
from mlops.serving.predictors import Prediction, columns_of, load_predictor
from mlops.serving.runtime import load_release
from mlops.stores import open_store
from mlops.stores.protocol import Lookup
from mlops.targets import chosen
from mlops.verdict import Record
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

PREFERRED = "production"
_COMPARED = 2  # the live release, and the one that it was judged against


def live(workspace: Workspace, family: str, environment: str | None) -> Manifest | None:
    """The live release of the family: in production, else where the challenger wants to go, else anywhere.

    GateFailed where it is lost: what cannot be compared is not accepted.
    """
    known = workspace.config.environments
    for place in dict.fromkeys([PREFERRED, *([environment] if environment else []), *known]):
        release = chosen.target(workspace, place).standing(family).live if place in known else None
        if release is not None:
            return manifest(workspace, release)
    return None


def manifest(workspace: Workspace, release: str) -> Manifest:
    """What a release is made of; GateFailed where it is lost."""
    try:
        return read_manifest(folder(workspace.releases, release))
    except NotWhole as error:
        raise _lost(release, error.message) from error


def named(manifest: Manifest | None) -> str:
    """The release's name; "" where there is no champion."""
    return "" if manifest is None else manifest.release


def against(workspace: Workspace, family: str, environment: str | None, work: Record) -> Manifest | None:
    """The release to compare with, given the challenger's work (its training, or its table).

    When the live release, or one that it descends from, was made of this very work, that one was judged
    already, against the release before it: so the same push judged twice is judged alike.
    """
    return _unlike(workspace, live(workspace, family, environment), work, _judged_against)


def beside(workspace: Workspace, family: str, environment: str | None, packaged: Record) -> Manifest | None:
    """The release to be put under load in turn with the challenger, given the challenger's bento; as `against`.

    It may be another: one that was packaged anew, of the same training, is compared with what was packaged before.
    """
    return _unlike(workspace, live(workspace, family, environment), packaged, _loaded_beside)


def bento(workspace: Workspace, manifest: Manifest) -> Path:
    """A release's bento, byte for byte what was accepted; GateFailed where it is not."""
    place = folder(workspace.releases, manifest.release)
    try:
        verify(place)
    except NotWhole as error:
        raise _lost(manifest.release, error.message) from error
    return place / BENTO


def views(workspace: Workspace, family: str, environment: str | None) -> tuple[str, ...]:
    """The views that the live release, and the one that it was judged against, read."""
    line = itertools.islice(_line(workspace, live(workspace, family, environment), _judged_against), _COMPARED)
    return tuple(dict.fromkeys(stored.view for one in line for stored in contract(workspace, one).stored))


def contract(workspace: Workspace, manifest: Manifest) -> Contract:
    """What a release reads and answers; GateFailed where it cannot be read."""
    file = folder(workspace.releases, manifest.release) / PAYLOAD / CONTRACT
    try:
        return msgspec.json.decode(file.read_bytes(), type=Contract)
    except (OSError, msgspec.DecodeError) as error:
        raise _lost(manifest.release, f"{CONTRACT} cannot be read: {error}") from error


def _lost(release: str, problem: str) -> GateFailed:
    return GateFailed(
        f"nothing can be compared with the champion {release}: {problem}",
        next_step="restore its folder from a copy, or make another release live: `mlops deploy ENVIRONMENT RELEASE`",
    )


def predictions(
    workspace: Workspace, manifest: Manifest, table: pd.DataFrame, features: Mapping[str, Record]
) -> Prediction:
    """What the champion predicts for the rows of `table`, in their order.

    GateFailed where it reads a view that is no longer declared: without its features nothing can be compared.
    """
    loaded = load_release(workspace.releases, manifest.release, None)
    try:
        return loaded.predict_table(_with_features(workspace, manifest, loaded.contract, table, features))
    finally:
        loaded.close()


def inputs(
    workspace: Workspace, manifest: Manifest, table: pd.DataFrame, features: Mapping[str, Record]
) -> pd.DataFrame:
    """What the champion's model reads of the rows of `table`, through its own feature versions; raises as above."""
    loaded = load_release(workspace.releases, manifest.release, None)
    try:
        return loaded.inputs(_with_features(workspace, manifest, loaded.contract, table, features))
    finally:
        loaded.close()


def estimator(workspace: Workspace, digest: str) -> Any:
    """The estimator in a stored skops file; GateFailed where it holds a type that nobody trusts."""
    return models.load(workspace.objects.path(digest), digest=digest, trusted=workspace.config.package.trusted)


def _with_features(
    workspace: Workspace, manifest: Manifest, read: Contract, table: pd.DataFrame, features: Mapping[str, Record]
) -> pd.DataFrame:
    lookups = _lookups(workspace, manifest, read, features)
    source = table.drop(columns=[s.name for s in read.stored if s.name in table])
    if not lookups or read.timestamp is None:
        return source
    found = open_store(workspace).point_in_time(source, lookups, timestamp=read.timestamp)
    return source.assign(**{str(name): found[name].to_numpy() for name in found})


def answers_of_columns(
    workspace: Workspace, manifest: Manifest
) -> tuple[Contract, Callable[[pd.DataFrame], Prediction]]:
    """A release's contract, and what its model says of rows that have the model's columns already.

    GateFailed where the release is lost or is not byte for byte what was accepted.
    """
    bento(workspace, manifest)
    read = contract(workspace, manifest)
    predictor = load_predictor(folder(workspace.releases, manifest.release) / PAYLOAD, read)
    return read, lambda rows: predictor.predict(columns_of(rows, read))


def _judged_against(manifest: Manifest) -> str:
    return manifest.champion


def _loaded_beside(manifest: Manifest) -> str:
    return manifest.beside or manifest.champion  # older manifests name one release for both


def _unlike(
    workspace: Workspace, champion: Manifest | None, work: Record, earlier: Callable[[Manifest], str]
) -> Manifest | None:
    """The champion; where it or one that it descends from was made of this very work, the one before that.

    Several releases in a row may be made of one table: the first of them was judged with it.
    """
    first = None
    for ancestor in _line(workspace, champion, earlier):
        if work.key and ancestor.records.get(work.name) == work.key:
            first = ancestor
        elif first is not None:
            break
    return champion if first is None else _before(workspace, earlier(first))


def _line(workspace: Workspace, champion: Manifest | None, earlier: Callable[[Manifest], str]) -> Iterator[Manifest]:
    """A release, the one that it was compared with, and so on back."""
    seen: set[str] = set()
    while champion is not None and champion.release not in seen:
        seen.add(champion.release)
        yield champion
        champion = _before(workspace, earlier(champion))


def _before(workspace: Workspace, release: str) -> Manifest | None:
    place = folder(workspace.releases, release)
    return read_manifest(place) if release and place.is_dir() else None


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
