"""A lock between processes that dies with its holder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops.adapters.files import disk_errors
from mlops.errors import OutsideError


@contextmanager
def locked(file: Path, busy: str, *, seconds: float = 120.0) -> Iterator[None]:
    """Hold a lock file; the system lets go of it when the process dies, however it dies.

    OutsideError when it is not free within `seconds`: `busy`, such as "the ledger is being written", and by whom.
    """
    handle = _opened(file)
    try:
        _take(handle, busy, seconds, fcntl.LOCK_EX)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)  # which also lets go of the lock


@contextmanager
def shared(file: Path, busy: str, *, seconds: float = 120.0) -> Iterator[None]:
    """Hold a lock file beside others who share it; who wants it alone waits for them all. Raises as `locked` does."""
    handle = _opened(file)
    try:
        _take(handle, busy, seconds, fcntl.LOCK_SH)
        os.pwrite(handle, f"{os.getpid():<10}".encode(), 0)  # any of those who share it, for who waits
        yield
    finally:
        os.close(handle)


@contextmanager
def alone(file: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Hold a lock file that is gone afterwards; gives whether another one held it before. Waits as long as that takes.

    `waiting` is called where another holds it. The system lets go of the lock when its holder dies, however it dies.
    """
    waited = False
    while True:
        handle = _opened(file)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waited:
                    waiting()
                waited = True
                fcntl.flock(handle, fcntl.LOCK_EX)
            if not _is_at(handle, file):  # its holder has removed it: what we hold is nobody's name any more
                continue
            try:
                yield waited
            finally:
                file.unlink(missing_ok=True)
            return
        finally:
            os.close(handle)


def alive(process: int) -> bool:
    """Whether a process of this machine, by its id, is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_at(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _opened(file: Path) -> int:
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o644)


def _take(handle: int, busy: str, seconds: float, how: int) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(handle, 32, 0).decode().strip() or "another process"
                raise OutsideError(
                    f"{busy} by process {holder}",
                    next_step="wait until that is done, then run again",
                ) from None
            time.sleep(0.05)
        else:
            return
