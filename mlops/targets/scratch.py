"""A copy of an environment of this machine, really served: what is tried out on it touches nobody."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from mlops.adapters import bentoserver
from mlops.errors import OutsideError
from mlops.serving.pointer import Pointer, read_acks, write_pointer
from mlops.stores.online import FILE as ONLINE
from mlops.targets.local import LocalTarget
from mlops.targets.servers import SERVICE, Server, announced

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
    target = LocalTarget(folder / original.environment, original.releases, original.keep, original.online_name)
    _copy_online(original.online, target.online)
    place, log = target.folder / family, folder / "server.log"
    write_pointer(place, Pointer(live=pointer.live, previous=pointer.previous, older=pointer.older, generation=1))
    serving = bentoserver.Serving(
        target=SERVICE,
        port=bentoserver.free_port(),
        home=folder / "bentoml",
        variables={
            "MLOPS_POINTER": str(place),
            "MLOPS_RELEASES": str(target.releases),
            "MLOPS_ONLINE": str(target.online),
            "MLOPS_DECISIONS": "",
            "MLOPS_WORKERS": str(workers),
        },
    )
    with bentoserver.running(serving, log=log) as server:
        known = Server(pid=server.pid, host=serving.host, port=serving.port, workers=workers)
        with announced(place, known):
            _await(place, pointer, server, log, workers)
            yield Copy(target=target, family=family, url=f"{known.address}/predict")


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


def _await(place: Path, pointer: Pointer, server: Popen[bytes], log: Path, workers: int) -> None:
    """Return when every worker serves the live release and holds the one before."""
    deadline = time.monotonic() + _BOOT_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        held = [{ack.serving, *ack.warm} for ack in read_acks(place) if ack.ok]
        if len(held) >= workers and all(pointer.previous in one and pointer.live in one for one in held):
            return
        time.sleep(_LOOK_EVERY)
    said = bentoserver.last_lines(log, 1)
    raise OutsideError(
        f"a server of {pointer.live} with {pointer.previous} warm beside it did not come up: {said}",
        next_step="deploy each of them to an environment of its own and read what `mlops serve` says",
    )
