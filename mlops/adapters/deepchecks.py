"""deepchecks, which runs in an environment of its own beside ours: a background process that answers jobs.

`python -m mlops.adapters.deepchecks` creates that environment ahead of time (about 100 MB, then cached by uv).
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Protocol, Self

import msgspec

from mlops.errors import OutsideError

if TYPE_CHECKING:
    import pandas as pd

SCRIPT = Path(__file__).with_name("deepchecks_script.py")
_PYTHONS = ((3, 11), (3, 12))  # what the script's pins have wheels for
_START_SECONDS = 900.0  # the first start downloads the environment
_JOB_SECONDS = 600.0
_CLOSE_SECONDS = 0.2
_LOG_TAIL = 1500


class Job(Protocol):
    """Tables and checks for one call. `checks` are `{"check", "params", "conditions", "on"}` by deepchecks' names.

    Labels and predictions are codes 0…`classes`-1 (or numbers, with `classes` 0); `categorical` is a part of
    `features`. `prediction` and `probabilities` name columns of both tables.
    """

    @property
    def train(self) -> pd.DataFrame:
        """The table, or its training side."""

    @property
    def test(self) -> pd.DataFrame | None:
        """The held-out side, None where there is one table."""

    @property
    def checks(self) -> Sequence[Mapping[str, Any]]:
        """What to run, in this order."""

    @property
    def described(self) -> Mapping[str, Any]:
        """What the columns are; plain values by the names in `_DESCRIBED`."""


_DESCRIBED = (
    *("features", "categorical", "label", "task", "classes", "index", "timestamp", "prediction"),
    *("probabilities", "seed"),
)


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What one condition of a check said: category PASS, WARN, FAIL or ERROR."""

    name: str
    category: str
    details: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one check said: `value` was measured, of `column` where it is the worst of many; `error`: it did not run."""

    check: str
    conditions: tuple[Condition, ...] = ()
    value: float | None = None
    column: str = ""
    error: str = ""
    seconds: float = 0.0


class _Reply(msgspec.Struct, frozen=True, kw_only=True):
    id: int = -1
    ready: bool = False
    version: str = ""
    python: str = ""
    checks: tuple[Answer, ...] = ()
    error: str = ""
    trace: str = ""


@dataclass
class _Process:
    """A running script, its log, and the lines it has answered."""

    popen: subprocess.Popen[str]
    log: Path
    lines: queue.SimpleQueue[str | None] = field(default_factory=queue.SimpleQueue)

    def send(self, line: str) -> None:
        """Put one job to it; BrokenPipeError when it is gone."""
        if self.popen.stdin is not None:
            self.popen.stdin.write(line + "\n")
            self.popen.stdin.flush()

    def hang_up(self) -> None:
        """Say that there will be no more jobs."""
        if self.popen.stdin is not None:
            self.popen.stdin.close()

    def read(self, seconds: float) -> _Reply | None:
        """The next answer; None when the process ended or `seconds` have passed."""
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            return None
        return None if line is None else msgspec.json.decode(line, type=_Reply)

    def tail(self) -> str:
        """The end of what it wrote to its log."""
        with contextlib.suppress(OSError):
            return self.log.read_text(errors="replace").strip()[-_LOG_TAIL:]
        return ""


class Deepchecks:
    """A background process that runs deepchecks; it starts at once and imports while others work.

    Use it as a context manager, or call `close`. It may be shared by threads: jobs queue up. It ends when
    its standard input is closed, and within a second when this process is killed.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._lock = threading.Lock()
        self._jobs = 0
        self._closed = False
        self._ready: _Reply | None = None
        self._process: _Process | None = None
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """The id of the process that was started, None when there is none."""
        return None if self._process is None else self._process.popen.pid

    def wait(self, seconds: float = _START_SECONDS) -> str:
        """The version of deepchecks, once the process is ready; OutsideError when its environment cannot be made."""
        if self._ready is None:
            process = self._start()
            self._ready = process.read(seconds)
            if self._ready is None:
                log = process.tail()
                self._stop()
                raise OutsideError(
                    f"deepchecks did not start in its own environment: {_last_lines(log)}", next_step=_MEND
                )
        return self._ready.version

    def run(self, job: Job) -> tuple[Answer, ...]:
        """One answer per check of the job, in its order.

        A process that dies or hangs gives an answer with `error` for each check: nothing ran, and that is said.
        """
        with self._lock:
            if self._closed:
                return tuple(Answer(check=str(spec["check"]), error="the run was ended") for spec in job.checks)
            self.wait()
            folder = Path(tempfile.mkdtemp(prefix="deepchecks-", dir=self._scratch))
            try:
                return self._ask(job, folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """End the process, also in the middle of a job, which then gives errors; calling it again does nothing."""
        self._closed = True
        idle = self._lock.acquire(timeout=_CLOSE_SECONDS)  # whoever interrupts a run does not wait for its checks
        try:
            self._stop()
        finally:
            if idle:
                self._lock.release()

    def _start(self) -> _Process:
        if self._process is None:
            log = self._scratch / f"deepchecks-{os.getpid()}-{id(self):x}.log"
            with log.open("w") as errors:
                self._process = _Process(_popen([str(os.getpid())], errors), log)
            threading.Thread(target=_pump, args=(self._process,), daemon=True).start()
        return self._process

    def _ask(self, job: Job, folder: Path) -> tuple[Answer, ...]:
        process = self._start()
        self._jobs += 1
        message = msgspec.json.encode({"id": self._jobs, **_written(job, folder)}).decode()
        with contextlib.suppress(BrokenPipeError):
            process.send(message)
        reply = process.read(_JOB_SECONDS)
        if reply is not None and not reply.error:
            return reply.checks
        reason = reply.error if reply is not None else f"the process ended or hung: {_last_lines(process.tail())}"
        if reply is None:
            self._stop()
        return tuple(Answer(check=str(spec["check"]), error=reason) for spec in job.checks)

    def _stop(self) -> None:
        process, self._process, self._ready = self._process, None, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            process.hang_up()
        try:
            process.popen.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.popen.pid, signal.SIGKILL)  # uv and the Python below it
            process.popen.wait()
        process.log.unlink(missing_ok=True)


_MEND = (
    "with a connection run `python -m mlops.adapters.deepchecks` once (it needs Python 3.11 or 3.12), "
    "or switch these checks off in pyproject.toml: [tool.mlops] deepchecks = false"
)


def prepare() -> str:
    """Create the environment if need be; gives deepchecks' version. OutsideError when it cannot be made."""
    folder = Path(tempfile.mkdtemp(prefix="mlops-deepchecks-"))
    try:
        with Deepchecks(folder) as deepchecks:
            return deepchecks.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def command() -> list[str]:
    """The command line that starts the script in its environment."""
    import uv

    # Our own interpreter where the pins allow it: then no other one has to be found or fetched.
    version = sys.version_info[:2]
    python = ["--python", sys.executable] if version in _PYTHONS else []  # else the script says which
    return [uv.find_uv_bin(), "run", "--quiet", *python, "--script", str(SCRIPT)]


def _popen(arguments: list[str], errors: IO[str]) -> subprocess.Popen[str]:
    # Bytecode is cached whatever our own caller chose: 7 s of imports become 3.
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    # Without the first one, importing deepchecks calls its maker's server and waits up to three seconds for it.
    environment |= {"DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY": "True", "MPLBACKEND": "Agg"}
    try:
        return subprocess.Popen(
            [*command(), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,  # so that it can be ended together with uv, and Ctrl-C reaches us first
        )
    except (OSError, FileNotFoundError) as error:
        raise OutsideError(
            f"uv could not be started: {error}", next_step="install it again: `pip install uv`"
        ) from error


def _pump(process: _Process) -> None:
    with contextlib.suppress(ValueError, OSError):
        for line in process.popen.stdout or ():
            process.lines.put(line)
    process.lines.put(None)


def _written(job: Job, folder: Path) -> dict[str, Any]:
    message: dict[str, Any] = {name: job.described[name] for name in _DESCRIBED}
    message["checks"] = [dict(spec) for spec in job.checks]
    for which, frame in (("train", job.train), ("test", job.test)):
        if frame is not None:
            path = folder / f"{which}.parquet"
            frame.to_parquet(path, index=False)
            message[which] = str(path)
    return message


def _last_lines(log: str) -> str:
    return " / ".join(line.strip() for line in log.splitlines()[-4:] if line.strip()) or "it said nothing"


if __name__ == "__main__":
    start = time.monotonic()
    try:
        sys.stdout.write(f"deepchecks {prepare()} is ready ({time.monotonic() - start:.1f} s)\n")
    except OutsideError as problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(problem.exit_code)
