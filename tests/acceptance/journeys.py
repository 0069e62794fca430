"""What journeys are made of: the command line as a person uses it, a server, golden requests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from mlops.adapters.bentoserver import free_port

SECONDS = 600


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit code and all that it wrote."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """Our variables without those that would lead a run to another ledger or repository."""
    own = ("MLFLOW_", "MLOPS_", "BENTOML_", "GIT_")
    return {k: v for k, v in os.environ.items() if not k.startswith(own)} | {"GIT_CEILING_DIRECTORIES": "/", **more}


def mlops(*arguments: str, cwd: Path, **variables: str) -> Done:
    """Run `mlops ARGUMENTS` in a folder, as a person does."""
    command = [sys.executable, "-m", "mlops", *arguments]
    done = subprocess.run(
        command, cwd=cwd, env=environment(**variables), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def golden(project: Path, release: str) -> list[dict[str, Any]]:
    """The requests that a release was packaged with, and its answers then."""
    return json.loads((project / ".mlops/releases" / release / "bento/src/release/golden.json").read_text())


@contextlib.contextmanager
def serving(project: Path, name: str = "staging") -> Iterator[str]:
    """The address of `mlops serve`, ready; stopped when the block ends."""
    port = free_port()
    log = project.parent / f"{project.name}-{port}.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlops", "serve", name, "--port", str(port)],
            cwd=project,
            env=environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 120
            while not _ready(address):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield address
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGINT)
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def _ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/readyz", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def demand_golden_answers(project: Path, release: str, address: str) -> None:
    """Every golden request is answered as it was when the release was packaged."""
    from mlops.serving.golden import Golden, differences

    cases = golden(project, release)
    assert cases
    answers = [requests.post(f"{address}/predict", json=case["request"], timeout=10) for case in cases]
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    expected = [Golden(request=c["request"], stored=c.get("stored", {}), answer=c["answer"]) for c in cases]
    assert differences(expected, [answer.json() for answer in answers]) == []
