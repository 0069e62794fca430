"""Where a team's machines put named bytes: what such a place can do, and any file system that fsspec knows as one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

from mlops.adapters import files

LAYOUT = "mlops-store-1"
_BUCKETS = ("s3", "gs", "gcs", "abfs", "az", "adl", "oss", "oci")  # which have no folders that could be empty


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

    def size(self, name: str) -> int:
        """How many bytes lie there; 0 where nothing does."""


class FilePlace:
    """Any file system that fsspec knows, such as a folder, S3, GCS or Azure."""

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url
        self._files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        self._root = f"{str(root).rstrip('/')}/{LAYOUT}"
        protocol = self._files.protocol
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        self._local, self._folders = "file" in names, names.isdisjoint(_BUCKETS)

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
        if self._folders and name.count("/") > 1:
            with contextlib.suppress(OSError):  # somebody is quicker, or puts something there
                self._files.rmdir(f"{self._root}/{name}".rpartition("/")[0])

    def size(self, name: str) -> int:
        """How many bytes lie there; 0 where nothing does."""
        try:
            return int(self._files.size(f"{self._root}/{name}") or 0)
        except FileNotFoundError:
            return 0
