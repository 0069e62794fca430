"""`serve`: the environment's live release answering requests on a port, until it is stopped."""

from __future__ import annotations

import getpass
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from mlops.adapters import bentoserver
from mlops.config import Environment
from mlops.errors import NothingToDo, OutsideError, UsageError
from mlops.serving.crews import LOOK_EVERY, Crews
from mlops.serving.decisions import FOLDER, variables_of
from mlops.serving.integrity import verify
from mlops.serving.pointer import forget_dead_workers, read_acks, read_pointer
from mlops.targets import chosen
from mlops.targets.posting import posting as posting_of
from mlops.targets.servers import Server, announced, read_server
from mlops.targets.systemd import Unit, unit_file
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.targets.local import LocalTarget
    from mlops.workspace import Workspace

VERSION = 1
SECRETS = "service.env"
"""The file in an environment's folder from which systemd takes the token: `NAME=value`, readable by its user alone."""


def serve(
    workspace: Workspace,
    *,
    environment: str,
    family: str | None = None,
    port: int | None = None,
    started: Callable[[str, int], None] = lambda *_: None,
) -> Record:
    """What the server did, once it has ended. Keeps workers in the foreground, which follow the pointer.

    `started` hears the host and the port once they are ours, before the first worker.
    SIGINT and SIGTERM drain it; SIGUSR1 replaces its workers by new ones. NothingToDo where nothing is live;
    OutsideError where the port is taken. The engine is the installed mlops, not a release's own copy, so it can
    host any release and outlives them; each release proves itself by its golden requests, and one that was judged with
    other packages gets workers that have those.
    """
    settings = _served_here(workspace, environment)
    target = chosen.local(workspace, environment)
    name = chosen.family(target.families(), family, environment)
    folder = target.folder / name
    live = _live(target, folder, environment)
    _not_twice(folder, environment)
    variables = _variables(settings, folder)
    at = port or settings.port
    with bentoserver.listening(settings.host, at) as listener, _heeding_signals() as told:
        started(settings.host, at)
        posting = posting_of(target, name, listener, workers=settings.workers, variables=variables)
        server = Server(pid=os.getpid(), host=settings.host, port=at, workers=settings.workers)
        with announced(folder, server), Crews(posting) as crews:
            while not told.stop.wait(LOOK_EVERY):
                if told.renew.is_set():
                    told.renew.clear()
                    crews.renew()
                crews.tend()
    return Record(step="serve", subject=environment, facts={"release": live, "port": at})


def unit(workspace: Workspace, *, environment: str, family: str | None = None, port: int | None = None) -> str:
    """The systemd unit that does the same from boot on: for /etc/systemd/system/mlops-ENVIRONMENT.service."""
    settings = _served_here(workspace, environment)
    further = [*(["--model", family] if family else []), *(["--port", str(port)] if port else [])]
    root = str(workspace.root)
    return unit_file(
        Unit(
            description=f"{environment} of {workspace.config.name}, served by mlops",
            command=[sys.executable, "-m", "mlops", "serve", environment, "--project", root, *further],
            root=workspace.root,
            state=workspace.home,
            user=getpass.getuser(),
            secrets=workspace.environments / environment / SECRETS if settings.token_env else None,
        )
    )


def _served_here(workspace: Workspace, environment: str) -> Environment:
    settings = chosen.environment(workspace, environment)
    if settings.target != "local":
        raise UsageError(
            f"{environment} is not served on this machine: its target is {settings.target}",
            next_step=f"look what runs there: `mlops status {environment}`",
        )
    return settings


def _live(target: LocalTarget, folder: Path, environment: str) -> str:
    pointer = read_pointer(folder)
    if pointer is None:
        raise NothingToDo(
            f"nothing is live in {environment}", next_step=f"deploy a release: `mlops deploy {environment}`"
        )
    verify(target.releases / pointer.live)
    return pointer.live


def _not_twice(folder: Path, environment: str) -> None:
    forget_dead_workers(folder)
    acks, server = read_acks(folder), read_server(folder)
    if acks:
        raise OutsideError(
            f"{environment} is served already (by process {server.pid if server else acks[0].pid})",
            next_step=f"stop that process, or leave it: it follows every deployment (`mlops status {environment}`)",
        )


def _variables(settings: Environment, folder: Path) -> dict[str, str]:
    """What workers are told beside where to find things: the token, and what they log."""
    told = variables_of(settings.decisions, str(folder / FOLDER))
    if settings.token_env is None:
        return told
    token = os.environ.get(settings.token_env)
    if not token:
        raise UsageError(
            f"the environment wants a token in {settings.token_env}, and that variable is not set",
            next_step=f"set it: export {settings.token_env}=…",
        )
    return {**told, "MLOPS_TOKEN": token}


@dataclass(frozen=True, slots=True)
class _Told:
    """What signals have asked for."""

    stop: threading.Event
    renew: threading.Event


@contextmanager
def _heeding_signals() -> Iterator[_Told]:
    """Workers have sessions of their own, so that a stop reaches them once and through us."""
    told = _Told(threading.Event(), threading.Event())

    def heed(number: int, _: FrameType | None) -> None:
        (told.renew if number == signal.SIGUSR1 else told.stop).set()

    heeded = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    before = {number: signal.signal(number, heed) for number in heeded}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
