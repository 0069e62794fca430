"""A copy of an environment of this machine, really served: what is tried out on it touches nobody."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mlops.adapters import bentoserver
from mlops.errors import MlopsError, OutsideError
from mlops.serving.crews import LOOK_EVERY, Crews, Posting
from mlops.serving.pointer import Pointer, read_acks, write_pointer
from mlops.stores.online import FILE as ONLINE
from mlops.targets.local import LocalTarget
from mlops.targets.posting import posting
from mlops.targets.servers import Server, announced

_BOOT_SECONDS = 90.0
_LOOK_EVERY = 0.05


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A served copy: `target` moves it, and it answers at `url`."""

    target: LocalTarget
    family: str
    url: str


@contextlib.contextmanager
def served_copy(original: LocalTarget, family: str, pointer: Pointer, folder: Path, *, workers: int) -> Iterator[Copy]:
    """The family as `pointer` tells it, behind a free loopback port, below `folder`; its server ends with the block.

    The releases are the original's own, which nobody writes to; stored features are copied. OutsideError where the
    server, or the release before the live one, does not come up.
    """
    target = replace(original, folder=folder / original.environment)
    _copy_online(original.online, target.online)
    place, log = target.folder / family, folder / "server.log"
    write_pointer(place, Pointer(live=pointer.live, previous=pointer.previous, older=pointer.older, generation=1))
    with bentoserver.listening(bentoserver.LOOPBACK, 0) as listener, log.open("wb") as said:
        known = Server(pid=os.getpid(), host=bentoserver.LOOPBACK, port=listener.getsockname()[1], workers=workers)
        posted = posting(
            target, family, listener, workers=workers, variables={"MLOPS_DECISIONS": ""}, log=said.fileno()
        )
        with announced(place, known), _tended(posted) as tending:
            _await(target, family, tending, log, workers)
            yield Copy(target=target, family=family, url=f"{known.address}/predict")


@contextlib.contextmanager
def _tended(posted: Posting) -> Iterator[threading.Thread]:
    """A thread that tends the workers until the block ends; it ends before that only where they cannot be started."""
    over = threading.Event()

    def tend() -> None:
        with contextlib.suppress(MlopsError), Crews(posted) as crews:
            while not over.wait(LOOK_EVERY):
                crews.tend()

    thread = threading.Thread(target=tend, name="crews")
    thread.start()
    try:
        yield thread
    finally:
        over.set()
        thread.join()


def _copy_online(original: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    if not original.exists():
        return
    if original.name != ONLINE:
        shutil.copyfile(original, copy)
        return
    # SQLite's own backup: a plain copy of a database that is being written to may be none.
    source, goal = sqlite3.connect(f"file:{original}?mode=ro", uri=True), sqlite3.connect(copy)
    with contextlib.closing(source), contextlib.closing(goal):
        source.backup(goal)


def _await(target: LocalTarget, family: str, tending: threading.Thread, log: Path, workers: int) -> None:
    """Return when every worker serves the live release, and holds the one before if that can share its process."""
    standing = target.standing(family)
    live, previous = standing.live or "", standing.previous
    wanted = {live}
    if previous is not None and target.python_for(previous) == target.python_for(live):
        wanted.add(previous)
    deadline = time.monotonic() + _BOOT_SECONDS
    while time.monotonic() < deadline and tending.is_alive():
        held = [{ack.serving, *ack.warm} for ack in read_acks(target.folder / family) if ack.ok]
        if len(held) >= workers and all(wanted <= one for one in held):
            return
        time.sleep(_LOOK_EVERY)
    said = bentoserver.last_lines(log, 1)
    raise OutsideError(
        f"a server of {live} with {previous} warm beside it did not come up: {said}",
        next_step="deploy each of them to an environment of its own and read what `mlops serve` says",
    )
