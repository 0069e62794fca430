"""The content-addressed store: outputs of steps, named by the sha256 of what they hold.

An object is written whole or not at all, never changed, and hashed again when read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mlops.adapters import files
from mlops.errors import OutsideError

_FEW = 32


class Spoilt(OutsideError):
    """An object is missing, or was corrupt and has been removed; what made it must run again."""

    def __init__(self, digest: str, message: str, *, next_step: str) -> None:
        super().__init__(message, next_step=next_step)
        self.digest = digest


class ObjectStore:
    """Objects below `root`, one file each, at `ab/cdef…`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, data: bytes) -> str:
        """Store bytes; gives their digest."""
        digest = files.digest_bytes(data)
        target = self._place(digest)
        if not target.exists():
            files.write_atomically(target, data)
        return digest

    def put_json(self, value: Any) -> str:
        """Store a value as canonical JSON (sorted keys); gives its digest."""
        return self.put(msgspec.json.encode(value, order="sorted"))

    def put_file(self, path: Path) -> str:
        """Store a copy of a file; gives its digest."""
        digest = files.digest_file(path)
        target = self._place(digest)
        if not target.exists():
            with files.replacing(target) as temporary:
                files.copy_chunks(path, temporary)
                if files.digest_file(temporary) != digest:
                    raise OutsideError(
                        f"{path} changed while it was being copied", next_step="run again when nothing writes to it"
                    )
        return digest

    def adopt(self, verified: Mapping[str, Path]) -> int:
        """Move files whose digests were just proven into the store, all durable at once; gives how many were new."""
        new = {digest: path for digest, path in verified.items() if not self.has(digest)}
        if new:
            with files.disk_errors(self.root):
                if len(new) > _FEW:
                    os.sync()  # one for all: a flush for each of a thousand small files takes ten seconds
                else:
                    for path in new.values():
                        files.sync(path)
                for digest, path in new.items():
                    place = self._place(digest)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    path.replace(place)
                for folder in {self._place(digest).parent for digest in new}:
                    files.sync(folder)
        return len(new)

    def put_tree(self, folder: Path) -> str:
        """Store every file below a folder; gives the digest of the listing (path -> digest)."""
        listing = {
            path.relative_to(folder).as_posix(): self.put_file(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        return self.put_json(listing)

    def path(self, digest: str) -> Path:
        """The verified file of an object; OutsideError when it is missing or its content has changed."""
        place = self._place(digest)
        if not place.exists():
            raise Spoilt(
                digest,
                f"object {digest[:12]} is not in {self.root}",
                next_step="run the step that makes it again: `mlops run`",
            )
        if files.digest_file(place) != digest:
            place.unlink()
            raise Spoilt(
                digest,
                f"object {digest[:12]} in {self.root} was corrupt and has been removed",
                next_step="run again; it will be computed anew",
            )
        return place

    def get(self, digest: str) -> bytes:
        """The content of an object."""
        return self.path(digest).read_bytes()

    def get_json(self, digest: str) -> Any:
        """The value of a JSON object."""
        return msgspec.json.decode(self.get(digest))

    def get_tree(self, digest: str, folder: Path) -> None:
        """Write out the files of a stored folder; `folder` appears whole or not at all.

        A stored folder that lacks a file, or holds a corrupt one, is forgotten: the next run makes it anew.
        """
        listing: dict[str, str] = self.get_json(digest)
        try:
            stored = {name: self.path(content) for name, content in listing.items()}
        except Spoilt:
            self._place(digest).unlink(missing_ok=True)
            raise
        with files.appearing(folder) as temporary:
            for name, path in stored.items():
                target = temporary / name
                target.parent.mkdir(parents=True, exist_ok=True)
                files.copy_chunks(path, target)

    def reachable(self, digests: Iterable[str]) -> set[str]:
        """These objects and what they name in turn, as far as it is here: a folder's files, a history's parts."""
        found: set[str] = set()
        waiting = [digest for digest in digests if self.has(digest)]
        while waiting:
            digest = waiting.pop()
            if digest in found:
                continue
            found.add(digest)
            waiting += [name for name in self.names(digest) if self.has(name)]
        return found

    def listed(self) -> Iterator[tuple[str, Path]]:
        """Every object with its file."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            yield from (
                (folder.name + file.name, file) for file in folder.iterdir() if _is_digest(folder.name + file.name)
            )

    def drop(self, digest: str) -> None:
        """Remove an object that nobody needs."""
        self._place(digest).unlink(missing_ok=True)

    def has(self, digest: str) -> bool:
        """Whether an object is there (its content is checked when it is read)."""
        return self._place(digest).exists()

    def names(self, digest: str) -> Iterator[str]:
        """The objects that one names: a folder's files, a history's parts; none where it is neither."""
        with self._place(digest).open("rb") as file:
            if file.read(1) != b"{":
                return
        try:
            value = msgspec.json.decode(self._place(digest).read_bytes())
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        for one in value.values() if isinstance(value, dict) else ():
            yield from (name for name in (one if isinstance(one, list) else [one]) if _is_digest(name))

    def _place(self, digest: str) -> Path:
        return self.root / digest[:2] / digest[2:]


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
