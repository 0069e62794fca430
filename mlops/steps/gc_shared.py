"""`gc --shared`: what of the team's store no release needs and nobody used lately, and how it goes.

Kept is what was put there or brought from there in the last days, and what the releases came of that the environments
on this machine retain. A store saves time and proves nothing, so what goes in error is computed again; still a record
goes before its objects, and what another machine is putting there is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from mlops.adapters import trust
from mlops.errors import UsageError
from mlops.needed import needed, readable, retained
from mlops.recording import executor
from mlops.release import Manifest, folder
from mlops.reuse import team
from mlops.serving.integrity import read_manifest
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.adapters.shared import SharedStore
    from mlops.workspace import Workspace

VERSION = 1
DAYS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would go: records by key, releases by name, objects with their bytes; and why what stays does."""

    keys: tuple[str, ...]
    releases: tuple[str, ...]
    objects: dict[str, int]
    stay: int
    kept: dict[str, str]
    busy: tuple[str, ...]


def planned(workspace: Workspace, *, days: float = DAYS, now: float | None = None) -> Record:
    """Facts: what would be removed, with bytes, from which `place`, who is `busy` there. Nothing is changed.

    UsageError where there is no team's store, or a fork's run asks; OutsideError where it is not reached.
    """
    store = _store(workspace)
    return _record(store, _plan(workspace, store, days, time.time() if now is None else now), done=False)


def collect(workspace: Workspace, *, days: float = DAYS, now: float | None = None) -> Record:
    """Remove it. Facts as of `planned`."""
    store = _store(workspace)
    plan = _plan(workspace, store, days, time.time() if now is None else now)
    store.drop(plan.keys, plan.objects, plan.releases)
    return _record(store, plan, done=True)


def _store(workspace: Workspace) -> SharedStore:
    if trust.fork():
        raise UsageError(
            "a fork's run removes nothing of the team's store", next_step="run it where the repository's code runs"
        )
    store = team(workspace, executor())
    if store is None:
        raise UsageError(
            "there is no shared store", next_step="name one: shared_store in [tool.mlops], or MLOPS_SHARED_STORE"
        )
    return store


def _plan(workspace: Workspace, store: SharedStore, days: float, now: float) -> Plan:
    since, busy = now - days * 86_400, tuple(store.claims.holders())
    listed, sizes, published = store.listed(), store.sizes(), store.releases()
    found = {key: kept for key, kept in listed.items() if kept is not None}
    used = [(kept.entry, kept.used or kept.entry.record.started) for kept in found.values()]
    names = retained(workspace, used, since)
    manifests = list(_manifests(workspace, store, names))
    stay = needed(manifests, used) | {entry.record.key for entry, at in used if at >= since}
    roots = {digest for key in stay & found.keys() for digest in found[key].objects}
    roots |= {d for one in manifests for d in (*one.snapshot.values(), one.training, *one.files.values())}
    named = {digest for kept in found.values() for digest in kept.objects}
    # What no record names may be on its way there: it is left while somebody works.
    going = {digest: size for digest, size in sizes.items() if digest not in roots and (digest in named or not busy)}
    return Plan(
        keys=tuple(key for key in listed if key not in stay),
        releases=tuple(name for name in published if name not in names),
        objects=going,
        stay=sum(sizes.values()) - sum(going.values()),
        kept=names,
        busy=busy,
    )


def _manifests(workspace: Workspace, store: SharedStore, names: dict[str, str]) -> Iterator[Manifest]:
    """Manifests of kept releases: this machine's, else what the store says."""
    for name in names:
        if readable(workspace, name):
            yield read_manifest(folder(workspace.releases, name))
        elif told := store.manifest(name):
            try:
                yield msgspec.json.decode(told, type=Manifest)
            except (msgspec.DecodeError, UnicodeDecodeError):  # its next run tells it anew
                continue


def _record(store: SharedStore, plan: Plan, *, done: bool) -> Record:
    objects = sum(plan.objects.values())
    facts: dict[str, Any] = {
        "done": done,
        "place": store.place.url,
        "releases": list(plan.releases),
        "entries": len(plan.keys),
        "objects": len(plan.objects),
        "bytes": {"objects": objects},
        "total": objects,
        "stay": plan.stay,
        "kept": plan.kept,
        "busy": list(plan.busy),
    }
    return Record(step="gc", subject="shared", facts=facts)
