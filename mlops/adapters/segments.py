"""Rows that only grow, on disk: appended to an open segment, which becomes a Parquet file when it is closed.

An open segment is an Arrow stream, `NAME.arrow`, that its writer holds locked for as long as it lives. One without that
lock was left by a writer that died: whoever comes next closes it, up to the last batch that was written whole. A name
is never used twice, and a segment that is there as Parquet counts, whatever lies beside it: so no row is there twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.adapters.files import disk_errors, sync, write_atomically
from mlops.adapters.parquet import parquet_of

if TYPE_CHECKING:
    import pyarrow as pa

OPEN, CLOSED = ".arrow", ".parquet"
_BEGUN = "%Y%m%dT%H%M%S%f"
_TEMPORARY = ".tmp"


def named(begun: datetime, writer: str, subject: str) -> str:
    """The name of a segment: when it was begun, by whom, and of what; in the order of time."""
    return f"{begun.astimezone(UTC):{_BEGUN}}-{writer}-{re.sub(r'[^A-Za-z0-9_-]', '_', subject)}"


def begun(name: str) -> datetime:
    """When a segment was begun, by its name."""
    return datetime.strptime(name.partition("-")[0], _BEGUN).replace(tzinfo=UTC)


class OpenSegment:
    """A segment that this process writes, all rows of one schema; `size` is its bytes so far."""

    def __init__(self, folder: Path, name: str, schema: pa.Schema) -> None:
        self._path = folder / f"{name}{OPEN}"
        temporary = folder / f".{name}{OPEN}{_TEMPORARY}"
        with disk_errors(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            self._handle = _locked(temporary)  # before it has its name, so that nobody takes it for a lost one
            self.size = 0
            self._write(schema.serialize())
            temporary.rename(self._path)
            sync(folder)

    def append(self, batch: pa.RecordBatch) -> None:
        """Write rows; on disk when this returns. A write that fails leaves what was there, and raises OutsideError."""
        with disk_errors(self._path):
            self._write(batch.serialize())

    def close(self) -> None:
        """Make it a Parquet file; one that cannot be written stays as it is, for whoever comes next."""
        try:
            _close(self._path)
        finally:
            os.close(self._handle)

    def _write(self, data: pa.Buffer) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)
        except OSError:
            os.ftruncate(self._handle, self.size)
            os.lseek(self._handle, self.size, os.SEEK_SET)
            raise
        self.size += len(data)


def rows_of(path: Path) -> pa.Table | None:
    """What was written whole to an open segment; None where not even its columns were."""
    import pyarrow as pa

    batches = []
    try:
        stream = pa.ipc.open_stream(path.read_bytes())
        with contextlib.suppress(pa.ArrowException, OSError, StopIteration):
            while True:
                batch = stream.read_next_batch()
                batch.validate(full=True)
                batches.append(batch)
    except pa.ArrowException:
        return None
    return pa.Table.from_batches(batches, stream.schema)


def recover(folder: Path) -> int:
    """Close what writers left that died; gives how many segments."""
    count = 0
    for path in sorted([*folder.glob(f"*{OPEN}"), *folder.glob(f".*{OPEN}{_TEMPORARY}")]):
        with contextlib.suppress(FileNotFoundError, BlockingIOError):  # another has closed it, or writes it
            handle = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.suffix == OPEN:
                    count += _close(path)
                elif os.fstat(
                    handle
                ).st_nlink:  # else another has removed it, and what has its name now is not this one
                    path.unlink()
            finally:
                os.close(handle)
    return count


def prune(folder: Path, before: datetime) -> int:
    """Remove closed segments that were begun before a moment; gives how many."""
    return _removed([path for path in folder.glob(f"*{CLOSED}") if begun(path.stem) < before])


def prune_left(folders: Path, before: datetime) -> int:
    """Remove what writers left in the folders below that were begun before a moment, also what they did not close.

    They may be other machines': a lock tells nothing of those, but no writer keeps a segment open for so long. Gives
    how many segments; a folder that has become empty goes as well.
    """
    found = [path for suffix in (OPEN, CLOSED) for path in folders.glob(f"*/*{suffix}")]
    old = [path for path in found if begun(path.stem) < before]
    count = _removed(old)
    for folder in {path.parent for path in old}:
        with contextlib.suppress(OSError):  # it holds others
            folder.rmdir()
    return count


def _removed(paths: Sequence[Path]) -> int:
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def _locked(path: Path) -> int:
    """A new file that this process holds locked."""
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # somebody who recovers was faster than the lock, and has removed it


def _close(path: Path) -> bool:
    """Only for who holds the lock; whether there is a Parquet file now."""
    closed = path.with_suffix(CLOSED)
    for lost in path.parent.glob(f".{closed.name}.*{_TEMPORARY}"):  # of a writer that died while it closed it
        lost.unlink()
    if not path.exists():
        return False
    if not closed.exists():
        table = rows_of(path)
        if table is not None and len(table):
            write_atomically(closed, parquet_of(table))
    path.unlink()
    return closed.exists()
