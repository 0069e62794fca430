"""A BentoML server as a child process: started, waited for, and stopped by its process id."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlops.adapters.leash import leashed
from mlops.errors import OutsideError

LOOPBACK = "127.0.0.1"
_LOOK_EVERY = 0.03  # seconds
_LAST_LINES = 12
_BACKLOG = 2048  # connections that may wait to be taken
_LOWEST, _HIGHEST = 10_000, 65_535  # below, well-known services have theirs
_DYNAMIC = (49_152, 65_535)  # the range of RFC 6335, where the system does not tell
_FEWEST = 1_000


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What to serve and where: a bento's folder or `module:Service`, its port, and variables for the workers."""

    target: str
    port: int
    home: Path  # BentoML's state; each server has its own, else two would share counters
    host: str = LOOPBACK
    variables: Mapping[str, str] = field(default_factory=dict)


class NotReady(OutsideError):
    """The server did not come up; the message ends with its last words."""


def free_port() -> int:
    """A loopback port that nothing listens on at the moment, for a server that opens it in a moment.

    It lies outside the range of which the system gives ports to connections that go out: one of those may be taken
    before the server comes to it, and under load will be.
    """
    outside = _never_given()
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, outside[secrets.randbelow(len(outside))] if outside else 0))
            return int(probe.getsockname()[1])


def _never_given() -> range:
    """Ports that the system gives to nobody by itself; none where its range leaves too few."""
    try:
        first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        first, last = _DYNAMIC
    below, above = range(_LOWEST, first), range(last + 1, _HIGHEST + 1)
    return max((below, above), key=len) if max(len(below), len(above)) >= _FEWEST else range(0)


def listening(host: str, port: int) -> socket.socket:
    """A socket on which connections wait for whoever takes them; OutsideError naming the port when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OutsideError(
            f"port {port} on {host} is taken ({error.strerror})",
            next_step=f"stop what listens there (`ss -ltnp 'sport = :{port}'` names it), or choose another: --port",
        ) from None


def start(serving: Serving, *, log: Path | None = None) -> subprocess.Popen[bytes]:
    """Start `bentoml serve` in a process group of its own; its words go to `log`, else to this terminal.

    It ends with this process, and with the thread that started it, even when that is killed outright.
    """
    serving.home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bentoml", "serve", serving.target]
    command += ["--host", serving.host, "--port", str(serving.port)]
    own = {
        "BENTOML_HOME": str(serving.home),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONDONTWRITEBYTECODE": "1",  # a bento that has served must still be what its manifest says
    }
    variables = {**os.environ, **own, **serving.variables}
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(log.open("wb")) if log is not None else None
        return subprocess.Popen(
            leashed(command),
            env=variables,
            cwd=serving.home,  # the folder that one stands in must not lend its modules to what is served
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT if out is not None else None,
            start_new_session=True,
        )


def wait_ready(
    server: subprocess.Popen[bytes],
    serving: Serving,
    *,
    seconds: float,
    failed: Callable[[], str | None] = lambda: None,
) -> None:
    """Return when /readyz answers 200; NotReady when the server ends, `failed` gives a reason, or time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready(serving.host, serving.port):
            return
        if server.poll() is not None:
            raise NotReady(f"the server ended with code {server.returncode}", next_step="read its last words")
        reason = failed()
        if reason:
            raise NotReady(reason, next_step="read the server's last words")
        time.sleep(_LOOK_EVERY)
    raise NotReady(f"the server was not ready within {seconds:g} seconds", next_step="read its last words")


def ready(host: str, port: int, *, timeout: float = 2.0) -> bool:
    """Whether /readyz answers 200 there."""
    return probe(host, port, timeout=timeout) is not None


def probe(host: str, port: int, *, timeout: float = 2.0) -> bytes | None:
    """The body of /readyz when it answers 200, else None."""
    address = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104  # where to ask, not where to listen
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return body if answer.status == 200 else None


def stop(server: subprocess.Popen[bytes], *, grace: float = 10.0) -> None:
    """Ask the server to drain and end; after `grace` seconds kill its whole process group."""
    if server.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            server.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(grace)
    # Workers share the server's group, so none outlives it, not even when the server itself was killed.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


@contextlib.contextmanager
def running(serving: Serving, *, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server that is stopped when the block ends."""
    server = start(serving, log=log)
    try:
        yield server
    finally:
        stop(server)


def last_lines(log: Path, count: int = _LAST_LINES) -> str:
    """The end of a server's log, for a message."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-count:])
