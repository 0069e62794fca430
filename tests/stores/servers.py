"""Real databases for a test: Debian's own, on loopback, in a folder of their own, ended by their process id."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlops.adapters.bentoserver import free_port

_PATIENCE = 30.0  # seconds for a server to start, and to end


@contextmanager
def redis() -> Iterator[int]:
    """The port of a Redis that lives as long as the block."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("Debian's package redis-server is not installed")
    port = free_port()
    with _folder() as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
        with _running([program, *options], port):
            yield port


@contextmanager
def postgresql() -> Iterator[tuple[int, str]]:
    """The port of a PostgreSQL that lives as long as the block, and its user, who needs no password."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    found = programs[-1].parent if programs else shutil.which("postgres") and Path(str(shutil.which("postgres"))).parent
    if not found:
        pytest.skip("Debian's package postgresql is not installed")
    port = free_port()
    with _folder() as folder:
        as_user = _unprivileged(folder)
        data = folder / "data"
        made = [f"{found}/initdb", "-D", str(data), "-U", "feast", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run([*as_user, *made], check=True, capture_output=True, cwd=folder, timeout=120)
        server = [f"{found}/postgres", "-D", str(data), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1", "-F"]
        with _running([*as_user, *server], port):
            yield port, "feast"


def _unprivileged(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: what starts it as another user, who then owns the folder."""
    if os.geteuid() != 0:
        return []
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    program = shutil.which("setpriv")
    if program is None:
        pytest.skip("PostgreSQL does not run as root, and Debian's package util-linux (setpriv) is not installed")
    entry = pwd.getpwnam(user)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return [program, f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", "--"]


@contextmanager
def _folder() -> Iterator[Path]:
    """Not below pytest's, which other users may not enter."""
    folder = Path(tempfile.mkdtemp(prefix="mlops-server-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(command: Sequence[str], port: int) -> Iterator[None]:
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd="/", start_new_session=True)
        try:
            _await(server, port, output)
            yield
        finally:
            server.send_signal(signal.SIGINT)  # to PostgreSQL: end now, whoever is connected
            try:
                server.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _await(server: subprocess.Popen[bytes], port: int, output: object) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    output.seek(0)  # type: ignore[attr-defined]
    raise RuntimeError(f"{server.args!r} did not start: {output.read().decode(errors='replace')}")  # type: ignore[attr-defined]
