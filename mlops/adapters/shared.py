"""A team's store: records of steps and their outputs where every machine of the team finds them by key.

One small JSON object for each key, so that a lookup is one request, however much lies there. It is an fsspec URL, or
the artifact store behind a team's MLflow server. Objects are written before the record that names them, and hashed
again when they are brought here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from mlops.adapters import files, trust
from mlops.adapters.claims import Claims
from mlops.adapters.index import Entry
from mlops.adapters.objects import ObjectStore
from mlops.adapters.outside import outside

VARIABLE = "MLOPS_SHARED_STORE"
OFF = "off"

T = TypeVar("T")
N = TypeVar("N", str, Path)

_AT_ONCE = 16
_LAYOUT = "mlops-store-1"
_RELEASES = "releases"


class Place(Protocol):
    """Where named bytes lie."""

    url: str

    def read(self, name: str) -> bytes | None:
        """The bytes of that name, or None."""

    def fetch(self, name: str, target: Path) -> bool:
        """Write the bytes of that name to a file; whether there are any."""

    def has(self, name: str) -> bool:
        """Whether there are bytes of that name."""

    def write(self, name: str, content: bytes | Path) -> None:
        """Put bytes there, whole or not at all."""

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, by its last name; nothing where there is none."""

    def remove(self, name: str) -> None:
        """Take away what is there, if anything is."""


class Kept(msgspec.Struct, frozen=True):
    """What lies under a key: the entry, and every object that it needs."""

    entry: Entry
    objects: list[str]


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
            raw = self.place.read(_record(key))
        if raw is None:
            return None
        try:
            kept = msgspec.json.decode(raw, type=Kept)
        except (msgspec.DecodeError, UnicodeDecodeError):  # corrupt: computed anew, and written anew then
            return None
        return kept if kept.entry.record.key == key and (not kept.entry.fork or trust.fork()) else None

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
            self.place.write(_record(entry.record.key), msgspec.json.encode(Kept(entry, needed), enc_hook=str))

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


class FilePlace:
    """Any file system that fsspec knows, such as a folder, S3, GCS or Azure."""

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url
        self._files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        self._root = f"{str(root).rstrip('/')}/{_LAYOUT}"
        protocol = self._files.protocol
        self._local = "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def read(self, name: str) -> bytes | None:
        """The bytes of that name, or None."""
        try:
            return bytes(self._files.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            return None

    def fetch(self, name: str, target: Path) -> bool:
        """Write the bytes of that name to a file; whether there are any."""
        try:
            self._files.get_file(f"{self._root}/{name}", str(target))
        except FileNotFoundError:
            return False
        return True

    def has(self, name: str) -> bool:
        """Whether there are bytes of that name."""
        return bool(self._files.exists(f"{self._root}/{name}"))

    def write(self, name: str, content: bytes | Path) -> None:
        """Put bytes there: a folder's file durably by its replacement, an object by one request."""
        place = f"{self._root}/{name}"
        if self._local:
            with files.replacing(Path(place)) as temporary:
                if isinstance(content, Path):
                    files.copy_chunks(content, temporary)
                else:
                    temporary.write_bytes(content)
        elif isinstance(content, Path):
            self._files.put_file(str(content), place)
        else:
            self._files.pipe_file(place, content)

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, by its last name; nothing where there is none."""
        try:
            found = self._files.ls(f"{self._root}/{folder}", detail=False)
        except FileNotFoundError:
            return []
        names = [str(one).rstrip("/").rpartition("/")[2] for one in found]
        return [name for name in names if name and not name.startswith(".")]  # one that is being written

    def remove(self, name: str) -> None:
        """Take away what is there, if anything is."""
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{name}")


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
            found = place(ledger, project, FilePlace, _LAYOUT)
        return None if found is None else SharedStore(found, who)
    return None


def _outside(url: str) -> AbstractContextManager[None]:
    return outside(
        f"the shared store at {url}",
        next_step=f"check its address and your rights, or go on without it: {VARIABLE}={OFF}",
    )


def _record(key: str) -> str:
    return f"records/{key}/record.json"


def _object(digest: str) -> str:
    return f"objects/{digest}/content"


def _release(name: str) -> str:
    return f"{_RELEASES}/{name}/manifest.json"


def _side_by_side(action: Callable[[N], T], names: Iterable[N]) -> list[T]:
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="shared") as pool:
        return list(pool.map(action, names))
