"""Where an environment's server listens: written by `mlops serve`, read by who deploys or asks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from mlops.adapters.files import write_atomically

_FILE = "server.json"


class Server(Struct, frozen=True, kw_only=True):
    """A server of one family: its process, address and number of workers."""

    pid: int
    host: str
    port: int
    workers: int

    @property
    def address(self) -> str:
        """Its URL."""
        return f"http://{self.host}:{self.port}"


def read_server(folder: Path) -> Server | None:
    """The server that was started last and whose process lives; None otherwise."""
    try:
        server = msgspec.json.decode((folder / _FILE).read_bytes(), type=Server)
        os.kill(server.pid, 0)
    except (FileNotFoundError, ProcessLookupError, msgspec.DecodeError):
        return None
    except PermissionError:  # it lives, and belongs to someone else
        return server
    return server


def expected(folder: Path) -> bool:
    """Whether a server was started here and never ended as it should: one that was stopped takes its word back."""
    return (folder / _FILE).exists()


@contextlib.contextmanager
def announced(folder: Path, server: Server) -> Iterator[None]:
    """Make the server known for as long as the block lasts."""
    write_atomically(folder / _FILE, msgspec.json.encode(server))
    try:
        yield
    finally:
        (folder / _FILE).unlink(missing_ok=True)
