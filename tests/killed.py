"""Runs of a project that are killed at chosen points, in forks of one process that has imported everything.

A point is an act that makes something durable: a file that takes its place, a record in the index or the ledger, an
event, a process that is started. Most are killed once before they act and once right after. The patches are made in the
forked child alone, so what is tested is the product as it is.

`python -m tests.killed` reads one order a line from stdin (JSON) and answers with one line each.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from mlops.errors import MlopsError
from tests import small


class Killer:
    """Kills this process at the first point at which none was killed before; `log` has a line for each that was."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.known = set(log.read_text().splitlines()) if log.exists() else set()

    def point(self, label: str) -> None:
        line = f"{_step()}: {label}"
        if line not in self.known:
            with self.log.open("a") as file:
                file.write(f"{line}\n")
                file.flush()
                os.fsync(file.fileno())
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()

    def around(self, owner: Any, name: str, label: Callable[..., str], *, after: bool = True) -> None:
        """Make each call of a function two points: before it, and right after."""
        real = getattr(owner, name)

        def called(*arguments: Any, **named: Any) -> Any:
            what = label(*arguments, **named)
            if what:
                self.point(f"before {what}")
            result = real(*arguments, **named)
            if what and after:
                self.point(f"after {what}")
            return result

        setattr(owner, name, called)


def _moved(source: Path, target: Path) -> str:
    """What a rename brings into place."""
    place = Path(target)
    if len(place.name) == 62 and place.parent.parent.name == "store":
        return "an object"
    name = re.sub(r"[0-9a-f]{12}|\d+", "N", place.name)  # of a release, of a process
    return f"the file {name}" if place.is_relative_to(Path.cwd()) else ""


def _step() -> str:
    """The step in whose code a thread is, or the part of the framework."""
    frame: Any = sys._getframe()
    part = "the run"
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.parent.name == "steps":
            return file.stem
        if part == "the run" and file.parent.name in ("targets", "adapters", "stores"):
            part = file.stem
        frame = frame.f_back
    return part


def _started(_: Any, command: Any, *__: Any, **___: Any) -> str:
    """A process that works; git is only asked."""
    return "" if str(command[0]) in ("git", "uv") else "a process that starts"


def _instrument(killer: Killer) -> None:
    from mlops.adapters.index import Index
    from mlops.adapters.ledger import Ledger
    from mlops.targets import history

    killer.around(Path, "replace", _moved)
    killer.around(Path, "rename", _moved)
    killer.around(Index, "take", lambda _, entries: f"{next(iter(entries)).record.step} in the index")
    killer.around(Ledger, "record", lambda _, record, *__: f"{record.step} in the ledger", after=False)
    for name in ("begin", "register", "event", "end"):
        killer.around(Ledger, name, lambda *_, name=name, **__: f"{name} in the ledger")
    killer.around(history, "append", lambda *_: "an event")
    killer.around(subprocess.Popen, "__init__", _started, after=False)


def _child(order: dict[str, Any]) -> int:
    os.setsid()
    if order["said"]:
        os.dup2(os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    if order["clock"]:
        now = time.time
        time.time = lambda: now() + order["clock"]
    root = Path(order["root"])
    os.chdir(root)
    if order["kills"]:
        _instrument(Killer(Path(order["kills"])))
    try:
        ran = small.go(root)
    except MlopsError as error:  # as the command line tells it
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    for error in ran.errors:
        sys.stderr.write(f"{error}\n")
        return int(getattr(error, "exit_code", 70))
    return 0 if ran.report.outcome.value == "pass" else 1


class Host:
    """That process, as a test sees it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.killed"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=small.variables(OMP_NUM_THREADS="1"),
        )
        assert self._output().readline() == "ready\n"

    def run(self, root: Path, *, kills: Path | None = None, said: Path | None = None, clock: float = 0) -> int:
        """`mlops run`: killed where `kills` does not list it yet, stderr into `said`, the clock off by seconds."""
        order = {"root": str(root), "kills": str(kills or ""), "said": str(said or ""), "clock": clock}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(json.loads(self._output().readline())["code"])

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)

    def _output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout


def _forked(order: dict[str, Any]) -> int:
    """How the child ended: its exit code, or minus the signal."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = _child(order)
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):  # what the killed run had started
        os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    """Import what a run imports, start nothing, and fork for every order."""
    import importlib

    for name in (
        "pandas",
        "duckdb",
        "mlflow",
        "bentoml",
        "onnxruntime",
        "sklearn.pipeline",
        "skl2onnx",
        "pandera.pandas",
    ):
        importlib.import_module(name)
    for name in ("mlops.running", "mlops.adapters.ledger", "tests.small"):
        importlib.import_module(name)
    _answer("ready")
    for line in sys.stdin:
        _answer(json.dumps({"code": _forked(json.loads(line))}))


def _answer(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
