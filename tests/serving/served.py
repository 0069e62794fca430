"""`mlops serve` in a process of its own, as long as a block lasts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mlops.adapters import bentoserver
from mlops.serving.pointer import read_acks
from mlops.workspace import Workspace

SECONDS = 90


@contextmanager
def served(
    project: Workspace, environment: str = "staging", *, stop: int = signal.SIGTERM, **variables: str
) -> Iterator[int]:
    """The port of a server that is ready, all its workers; it is sent `stop` in the end, and must end well."""
    settings = project.config.environments[environment]
    log = project.root / f"{environment}.log"
    command = [sys.executable, "-m", "mlops", "serve", environment, "--project", str(project.root)]
    with log.open("ab") as said:
        server = subprocess.Popen(
            command, stdout=said, stderr=said, start_new_session=True, env={**os.environ, **variables}
        )
    try:
        deadline = time.monotonic() + SECONDS
        while _workers(project, environment) < settings.workers or not bentoserver.ready("127.0.0.1", settings.port):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield settings.port
    finally:
        server.send_signal(stop)
        assert server.wait(30) == 0, log.read_text()


def _workers(project: Workspace, environment: str) -> int:
    """How many say what they serve."""
    return sum(len(read_acks(family)) for family in (project.environments / environment).iterdir() if family.is_dir())
