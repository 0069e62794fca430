"""Which release is live in an environment, and which workers have taken it over.

`pointer.json` is replaced atomically, so a reader sees the old one or the new one. It carries the event
that moved it, so a deployment that is killed right after the move is still known. Each worker holds a
lock for as long as it lives and writes `ack-<pid>.json` beside it: what it serves, or why it does not.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from mlops.adapters.files import disk_errors, write_atomically
from mlops.errors import OutsideError
from mlops.release import Event

POINTER = "pointer.json"
_WORKERS = "workers"


class Tried(Struct, frozen=True, kw_only=True):
    """A release on trial. A canary answers a share of the requests: none while workers load it, or while it is held.

    After `until` (seconds since 1970) workers give it no request any more, whether or not anybody judges it still.
    """

    release: str
    trial: str  # what is counted of it is kept under this name
    share: float = 0.0
    until: float = 0.0


class Pointer(Struct, frozen=True, kw_only=True):
    """The live release, the one a rollback returns to, and what was live before those (newest last).

    `canary` answers a share of the requests; `shadow` is asked the same as the live one, and answers nobody.
    """

    live: str
    previous: str | None = None
    generation: int = 0
    older: tuple[str, ...] = ()
    event: Event | None = None
    canary: Tried | None = None
    shadow: Tried | None = None

    @property
    def tries(self) -> bool:
        """Whether anything is on trial; every move of the live release ends that."""
        return self.canary is not None or self.shadow is not None


class Ack(Struct, frozen=True, kw_only=True):
    """What a worker says about a generation of the pointer: `serving` is the release that answers requests.

    `trying` are the canary and the shadow that it holds; `refused` says of those that it cannot hold why not.
    """

    pid: int
    generation: int
    serving: str
    ok: bool
    error: str = ""
    warm: tuple[str, ...] = ()
    trying: tuple[str, ...] = ()
    refused: dict[str, str] = {}

    @property
    def held(self) -> tuple[str, ...]:
        """All releases that it has loaded."""
        return (self.serving, *self.warm, *self.trying)


def read_pointer(folder: Path) -> Pointer | None:
    """The pointer of an environment's family; None when nothing was deployed there."""
    file = folder / POINTER
    try:
        return msgspec.json.decode(file.read_bytes(), type=Pointer)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise OutsideError(
            f"{file} cannot be read: {error}", next_step="remove it, then deploy a release: `mlops deploy ENV`"
        ) from None


def write_pointer(folder: Path, pointer: Pointer) -> None:
    """Replace the pointer durably, all at once."""
    write_atomically(folder / POINTER, msgspec.json.encode(pointer))


def write_ack(folder: Path, ack: Ack) -> None:
    """Say what this worker serves."""
    write_atomically(folder / _WORKERS / f"ack-{ack.pid}.json", msgspec.json.encode(ack))


def read_acks(folder: Path) -> tuple[Ack, ...]:
    """What the living workers say; files that dead workers left are passed over."""
    acks: list[Ack] = []
    for file in sorted((folder / _WORKERS).glob("ack-*.json")):
        if _held(_lock_file(folder, file.stem.removeprefix("ack-"))):
            try:
                acks.append(msgspec.json.decode(file.read_bytes(), type=Ack))
            except (FileNotFoundError, msgspec.DecodeError):
                continue
    return tuple(acks)


def forget_dead_workers(folder: Path) -> None:
    """Remove what dead workers left behind."""
    for lock in (folder / _WORKERS).glob("*.lock"):
        if not _held(lock):
            lock.unlink(missing_ok=True)
            (folder / _WORKERS / f"ack-{lock.stem}.json").unlink(missing_ok=True)


@contextmanager
def being_a_worker(folder: Path) -> Iterator[None]:
    """Hold this process's lock; the system lets go of it when the process dies, however it dies."""
    file = _lock_file(folder, str(os.getpid()))
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                yield
            finally:
                file.unlink(missing_ok=True)
                (file.parent / f"ack-{os.getpid()}.json").unlink(missing_ok=True)


def _lock_file(folder: Path, pid: str) -> Path:
    return folder / _WORKERS / f"{pid}.lock"


def _held(file: Path) -> bool:
    try:
        with file.open("r") as handle:
            return not _taken(handle)
    except FileNotFoundError:
        return False


def _taken(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
