"""`serve`: the environment's live release answering requests on a port, until it is stopped."""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from mlops.adapters import bentoserver
from mlops.config import Environment
from mlops.errors import NothingToDo, OutsideError, UsageError
from mlops.serving import decisions
from mlops.serving.integrity import verify
from mlops.serving.pointer import forget_dead_workers, read_acks, read_pointer
from mlops.targets import chosen
from mlops.targets.servers import SERVICE, Server, announced, read_server
from mlops.targets.systemd import Unit, unit_file
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.targets.local import LocalTarget
    from mlops.workspace import Workspace

VERSION = 1
SECRETS = "service.env"
"""The file in an environment's folder from which systemd takes the token: `NAME=value`, readable by its user alone."""


def serve(workspace: Workspace, *, environment: str, family: str | None = None, port: int | None = None) -> Record:
    """What the server did, once it has ended. Runs `bentoml serve` in the foreground and follows the pointer.

    SIGINT and SIGTERM drain it. NothingToDo where nothing is live; OutsideError where the port is taken.
    The engine is the installed mlops, not a release's own copy, so it can host any release and outlives them;
    each release proves itself by its golden requests.
    """
    settings = _served_here(workspace, environment)
    target = chosen.local(workspace, environment)
    name = chosen.family(target.families(), family, environment)
    folder = target.folder / name
    live = _live(target, folder, environment)
    _not_twice(folder, environment)
    at = port or settings.port
    bentoserver.demand_free(settings.host, at)
    child = bentoserver.start(_serving(settings, target, folder, at))
    server = Server(pid=child.pid, host=settings.host, port=at, workers=settings.workers)
    with _passing_signals_on(child), announced(folder, server):
        code = _until_it_ends(child)
    if code not in (0, -signal.SIGTERM, -signal.SIGINT):
        raise OutsideError(f"the server ended with code {code}", next_step="read what it printed above")
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


def _serving(settings: Environment, target: LocalTarget, folder: Path, port: int) -> bentoserver.Serving:
    variables = {
        "MLOPS_POINTER": str(folder),
        "MLOPS_RELEASES": str(target.releases),
        "MLOPS_ONLINE": str(target.online),
        "MLOPS_WORKERS": str(settings.workers),
    }
    if settings.token_env is not None:
        token = os.environ.get(settings.token_env)
        if not token:
            raise UsageError(
                f"the environment wants a token in {settings.token_env}, and that variable is not set",
                next_step=f"set it: export {settings.token_env}=…",
            )
        variables["MLOPS_TOKEN"] = token
    variables |= logging_variables(settings, folder)
    return bentoserver.Serving(
        target=SERVICE, port=port, host=settings.host, home=folder / "bentoml", variables=variables
    )


def logging_variables(settings: Environment, folder: Path) -> dict[str, str]:
    """Variables that name the decision log; what this process was given by chance must not stand in for them."""
    wanted = settings.decisions
    return {
        decisions.FOLDER_VARIABLE: str(folder / decisions.FOLDER) if wanted.log else "",
        decisions.KEEP_VARIABLE: wanted.keep,
        decisions.CLOSE_VARIABLE: wanted.close,
        decisions.OMIT_VARIABLE: ",".join(wanted.omit),
    }


@contextmanager
def _passing_signals_on(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """The child has a process group of its own, so that a stop reaches it once and through us."""

    def stop(_: int, __: FrameType | None) -> None:
        child.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        bentoserver.stop(child)


def _until_it_ends(child: subprocess.Popen[bytes]) -> int:
    return child.wait()
