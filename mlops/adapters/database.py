"""SQLite's failures as what they are: the disk is full, it cannot be written or read, or another process is at it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from mlops.errors import OutsideError

_FULL, _IO, _BUSY = (sqlite3.SQLITE_FULL,), (sqlite3.SQLITE_IOERR,), (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_REFUSED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)
_KIND = 0xFF  # of an extended code, the part that says what kind it is


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, a refused or busy file into an OutsideError that names `path`; anything else is our own bug."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise _told(error, path) from error


class Turns:
    """A lock for the threads that share one connection; SQLite's failures inside are told as `database_errors` does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        """Wait for the turn."""
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let the next one."""
        self._lock.release()
        if isinstance(error, sqlite3.OperationalError):
            raise _told(error, self._path) from error


def _told(error: sqlite3.OperationalError, path: Path) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & _KIND
    if code in _FULL or (code in _IO and _nothing_left(path)):
        return OutsideError(f"no space left for {path}", next_step="free some space, then run again")
    if code in _IO:
        return OutsideError(f"{path} cannot be read or written: {error}", next_step="check the disk that it is on")
    if code in _REFUSED:
        return OutsideError(f"{path} is not writable", next_step="check its owner and rights")
    if code in _BUSY:
        return OutsideError(f"{path} is used by another process for too long", next_step="run again when that is done")
    return error


def _nothing_left(path: Path) -> bool:
    """A write-ahead log that cannot grow is an input/output error to SQLite; the disk says why."""
    import shutil

    return shutil.disk_usage(path.parent).free < 1 << 16
