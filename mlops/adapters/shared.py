"""A team's store: records of steps and their outputs where every machine of the team finds them by key.

One small JSON object for each key, so that a lookup is one request, however much lies there. It is an fsspec URL, or
the artifact store behind a team's MLflow server. Objects are written before the record that names them, and hashed
again when they are brought here.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import msgspec

from mlops.adapters import files, trust
from mlops.adapters.claims import Claims
from mlops.adapters.index import Entry
from mlops.adapters.objects import ObjectStore
from mlops.adapters.outside import outside
from mlops.adapters.place import LAYOUT, FilePlace, Place

VARIABLE = "MLOPS_SHARED_STORE"
OFF = "off"

T = TypeVar("T")
N = TypeVar("N", str, Path)

_AT_ONCE = 16
_RECORDS, _OBJECTS, _RELEASES = "records", "objects", "releases"
_DAY = 86_400.0


class Kept(msgspec.Struct, frozen=True):
    """What lies under a key: the entry, every object that it needs, and when it was put there or brought elsewhere."""

    entry: Entry
    objects: list[str]
    used: float = 0.0


class SharedStore:
    """Records and objects at one place."""

    def __init__(self, place: Place, who: str = "another machine") -> None:
        """Ready; `who` is told to those who wait for what this run computes."""
        self.place = place
        self.claims = Claims(place, who)
        self._spoilt: set[str] = set()

    def find(self, key: str) -> Kept | None:
        """What is kept of a key, or None; what a fork's run computed is for another fork's run alone."""
        with _outside(self.place.url):
            kept = self._kept(key)
        return (
            kept
            if kept is not None and kept.entry.record.key == key and (not kept.entry.fork or trust.fork())
            else None
        )

    def bring(self, kept: Kept, objects: ObjectStore, scratch: Path) -> bool:
        """Put what an entry needs into the store of this machine.

        False where something of it is gone, or is not what its name says; then nothing of it may be used.
        """
        folder = files.scratch_folder(scratch)

        def fetched(digest: str) -> bool:
            target = folder / digest
            if self.place.fetch(_object(digest), target) and files.digest_file(target) == digest:
                return True
            self._spoilt.add(digest)
            return False

        lacking = [digest for digest in {*kept.objects, *kept.entry.record.outputs.values()} if not objects.has(digest)]
        try:
            with _outside(self.place.url):
                whole = all(_side_by_side(fetched, lacking))
            if whole:
                objects.adopt({digest: folder / digest for digest in lacking})
            return whole
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, entry: Entry, objects: ObjectStore) -> None:
        """Put an entry's outputs there, and then the entry; does nothing in a fork's run."""
        if trust.fork():
            return
        needed = sorted(objects.reachable(entry.record.outputs.values()))

        def put(digest: str) -> None:
            if digest in self._spoilt or not self.place.has(_object(digest)):
                self.place.write(_object(digest), objects.path(digest))

        with _outside(self.place.url):
            _side_by_side(put, needed)
            self._put(Kept(entry, needed, time.time()))

    def touch(self, kept: Kept) -> None:
        """Say that what is kept of a key was used now; at most once a day, and not by a fork's run."""
        if time.time() - kept.used > _DAY and not trust.fork():
            with _outside(self.place.url):
                self._put(msgspec.structs.replace(kept, used=time.time()))

    def listed(self) -> dict[str, Kept | None]:
        """All that is kept, by key; None where a record cannot be read."""
        with _outside(self.place.url):
            keys = self.place.names(_RECORDS)
            return dict(zip(keys, _side_by_side(self._kept, keys), strict=True))

    def sizes(self) -> dict[str, int]:
        """The bytes of every object, by digest."""
        with _outside(self.place.url):
            names = self.place.names(_OBJECTS)
            return dict(zip(names, _side_by_side(lambda name: self.place.size(_object(name)), names), strict=True))

    def drop(self, keys: Iterable[str], objects: Iterable[str], releases: Iterable[str]) -> None:
        """Remove records and releases, and then objects, so that nothing is promised that is not there."""
        with _outside(self.place.url):
            _side_by_side(self.place.remove, [*map(_record, keys), *map(_release, releases)])
            _side_by_side(self.place.remove, [_object(digest) for digest in objects])

    def _kept(self, key: str) -> Kept | None:
        raw = self.place.read(_record(key))
        try:
            return None if raw is None else msgspec.json.decode(raw, type=Kept)
        except (msgspec.DecodeError, UnicodeDecodeError):  # corrupt: computed anew, and written anew then
            return None

    def _put(self, kept: Kept) -> None:
        self.place.write(_record(kept.entry.record.key), msgspec.json.encode(kept, enc_hook=str))

    def publish(self, release: str, manifest: bytes) -> None:
        """Say what a release is made of, so that one may bring it by its name; does nothing in a fork's run.

        Its files are there: they are the output of the step that packaged it.
        """
        if not trust.fork():
            with _outside(self.place.url):
                if self.place.read(_release(release)) != manifest:
                    self.place.write(_release(release), manifest)

    def releases(self) -> tuple[str, ...]:
        """The names of the releases that may be brought from here."""
        with _outside(self.place.url):
            return tuple(sorted(self.place.names(_RELEASES)))

    def manifest(self, release: str) -> bytes | None:
        """What a release is made of, as it was published; not verified."""
        with _outside(self.place.url):
            return self.place.read(_release(release))

    def copy(self, wanted: Mapping[Path, str]) -> set[str]:
        """Write objects to files of one's own, by digest; gives those that are gone, or are not what they say."""

        def copied(target: Path) -> str:
            target.parent.mkdir(parents=True, exist_ok=True)
            there = self.place.fetch(_object(wanted[target]), target)
            return "" if there and files.digest_file(target) == wanted[target] else wanted[target]

        with _outside(self.place.url):
            return set(_side_by_side(copied, wanted)) - {""}


def opened(wished: str, ledger: str, project: str, who: str = "another machine") -> SharedStore | None:
    """The team's store: the one that `MLOPS_SHARED_STORE` or the configuration names, else the ledger's artifact store.

    `wished` is the configuration's URL, `ledger` the tracking URI. None where there is neither, or it is switched off.
    """
    url = os.environ.get(VARIABLE) or wished
    if url == OFF:
        return None
    if url:
        with _outside(url):
            return SharedStore(FilePlace(url), who)
    if ledger.startswith(("http://", "https://")):
        from mlops.adapters.ledger_artifacts import place

        with _outside(ledger):
            found = place(ledger, project, FilePlace, LAYOUT)
        return None if found is None else SharedStore(found, who)
    return None


def _outside(url: str) -> AbstractContextManager[None]:
    return outside(
        f"the shared store at {url}",
        next_step=f"check its address and your rights, or go on without it: {VARIABLE}={OFF}",
    )


def _record(key: str) -> str:
    return f"{_RECORDS}/{key}/record.json"


def _object(digest: str) -> str:
    return f"{_OBJECTS}/{digest}/content"


def _release(name: str) -> str:
    return f"{_RELEASES}/{name}/manifest.json"


def _side_by_side(action: Callable[[N], T], names: Iterable[N]) -> list[T]:
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="shared") as pool:
        return list(pool.map(action, names))
