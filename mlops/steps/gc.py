"""`gc`: what no release needs and nobody used lately, and how it goes.

Kept is what an environment retains, live or for a rollback; what these were judged against; what was made or used in
the last days; and of each view that a kept release reads, the newest history. All else is named first, and removed when
told so: the index entry before its objects, so that a kill leaves nothing that is promised and not there.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.adapters.files import disk_errors
from mlops.adapters.index import Index
from mlops.needed import needed, readable, retained
from mlops.release import folder, signature_of
from mlops.serving.integrity import read_manifest
from mlops.serving.packages import unneeded
from mlops.targets import chosen
from mlops.targets.lock import environment_lock
from mlops.using import collecting
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1
DAYS = 30.0
_GRACE = 3_600.0
"""Seconds in which a file that nobody names is left alone: its writer may not have named it yet."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_GOING = ".gone-"


@dataclass(slots=True)
class Plan:
    """What would go, and why what stays does."""

    releases: list[Path] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)
    objects: list[Path] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    stay: int = 0  # bytes of objects and releases that stay

    def facts(self, *, done: bool) -> dict[str, Any]:
        """As plain values: counts, names and bytes."""
        groups = {"releases": self.releases, "objects": self.objects, "leftovers": self.leftovers}
        sizes = {name: sum(map(_size, paths)) for name, paths in groups.items()}
        return {
            "done": done,
            "releases": [path.name for path in self.releases],
            "entries": len(self.entries),
            "objects": len(self.objects),
            "leftovers": len(self.leftovers),
            "bytes": sizes,
            "total": sum(sizes.values()),
            "stay": self.stay,
            "kept": self.kept,
        }


def planned(workspace: Workspace, *, days: float = DAYS, now: float | None = None) -> Record:
    """Facts: what would be removed, with bytes, and which releases are `kept`, why. Nothing is changed."""
    moment = time.time() if now is None else now
    return Record(step="gc", subject="", facts=_plan(workspace, days, moment).facts(done=False))


def collect(workspace: Workspace, *, days: float = DAYS, now: float | None = None) -> Record:
    """Remove it, alone: OutsideError while another command uses the store. Facts as of `planned`.

    No environment can be moved meanwhile, so no release goes that is just becoming live.
    """
    moment = time.time() if now is None else now
    with ExitStack() as held:
        held.enter_context(collecting(workspace))
        for name in workspace.config.environments:
            if (workspace.environments / name).is_dir():
                held.enter_context(environment_lock(workspace.environments / name))
        plan = _plan(workspace, days, moment)
        facts = plan.facts(done=True)
        with disk_errors(workspace.home):
            _remove(workspace, plan)
    return Record(step="gc", subject="", facts=facts)


def _plan(workspace: Workspace, days: float, now: float) -> Plan:
    plan = Plan()
    index = Index(workspace.home / "index.db")
    try:
        used = index.used()
    finally:
        index.close()
    since = now - days * 86_400
    plan.kept = retained(workspace, used, since)
    manifests = [read_manifest(folder(workspace.releases, name)) for name in plan.kept if readable(workspace, name)]
    stay = needed(manifests, used) | {entry.record.key for entry, at in used if at >= since}
    plan.entries = [entry.record.key for entry, _ in used if entry.record.key not in stay]
    roots = {digest for entry, _ in used if entry.record.key in stay for digest in _digests(entry.record)}
    roots |= {digest for one in manifests for digest in (*one.snapshot.values(), one.training)}
    reached = workspace.objects.reachable(roots)
    for digest, path in workspace.objects.listed():
        if digest in reached or _young(path, now):
            plan.stay += _size(path)
        else:
            plan.objects.append(path)
    for name in chosen.releases(workspace.releases):
        if name in plan.kept:
            plan.stay += _size(workspace.releases / name)
        else:
            plan.releases.append(workspace.releases / name)
    whole = [name for name in plan.kept if readable(workspace, name)]
    leftovers = [*_leftovers(workspace), *_alone(workspace, plan), *unneeded(workspace.releases, whole)]
    plan.leftovers = [path for path in leftovers if not _young(path, now)]
    return plan


def _digests(record: Record) -> Iterator[str]:
    yield from record.outputs.values()
    waiting: list[Any] = [record.facts]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, str) and _DIGEST.fullmatch(value):
            yield value


def _alone(workspace: Workspace, plan: Plan) -> Iterator[Path]:
    """Signatures without a release that stays."""
    staying = {signature_of(folder(workspace.releases, name)) for name in chosen.releases(workspace.releases)}
    staying -= {signature_of(path) for path in plan.releases}
    yield from sorted(set(workspace.releases.glob("*.sig")) - staying)


def _leftovers(workspace: Workspace) -> Iterator[Path]:
    """What commands that were killed left: temporary files and folders, and all of the scratch."""
    home = workspace.home
    if not home.is_dir():
        return
    yield from sorted(workspace.scratch.iterdir())
    yield from sorted(workspace.releases.glob(f"{_GOING}*"))
    places = (home, *(p for name in ("store", "releases", "environments", "features") for p in _folders(home / name)))
    for place in places:
        yield from sorted(place.glob(".*.tmp"))


def _folders(place: Path) -> Iterator[Path]:
    """A folder of ours and those in it, not into releases."""
    if place.is_dir():
        yield place
        for below in sorted(place.iterdir()):
            if below.is_dir() and not below.name.startswith(".") and place.name != "releases":
                yield from _folders(below)


def _remove(workspace: Workspace, plan: Plan) -> None:
    index = Index(workspace.home / "index.db")
    try:
        index.forget_all(plan.entries)
    finally:
        index.close()
    for release in plan.releases:
        gone = release.with_name(f"{_GOING}{release.name}")
        shutil.rmtree(gone, ignore_errors=True)
        release.rename(gone)  # it is gone at once: a half release is never seen
        shutil.rmtree(gone)
    for path in plan.objects:
        path.unlink(missing_ok=True)
    for path in plan.leftovers:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _young(path: Path, now: float) -> bool:
    try:
        return path.lstat().st_mtime > now - _GRACE
    except FileNotFoundError:
        return True


def _size(path: Path) -> int:
    """Bytes on the disk of a file, or of all below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for one in (path, *(path.rglob("*") if path.is_dir() else ())):
        with contextlib.suppress(FileNotFoundError):
            total += 0 if one.is_dir() else one.lstat().st_size
    return total
