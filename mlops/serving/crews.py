"""The workers of an environment, by crews: those of a crew run in one Python environment and follow one pointer.

A crew is replaced when the pointer names a release that its packages cannot host, or when it is asked for: the new crew
loads the release and answers its golden requests, all workers of it, before one of them takes a connection. Then
the old crew takes no new ones, answers what it has, and ends. Both hold the same listening socket, so a connection that
nobody has taken yet waits for whoever takes it, and none is refused. A crew that never gets ready gets no request.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from mlops.adapters import python_environment
from mlops.errors import MlopsError, OutsideError
from mlops.serving.leaving import DRAIN_VARIABLE
from mlops.serving.pointer import POINTER, Pointer, read_acks, read_pointer
from mlops.serving.worker import LEAVE, SERVE

LOOK_EVERY = 0.05
"""Seconds between two calls of `tend`."""

_AGAIN = (0.1, 5.0)  # seconds before a worker that ended is started again, at first and at most
_GRACE = 10.0
_logger = logging.getLogger("mlops.serving")


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """Where workers serve: the pointer's folder, the listening socket, their number, their variables, log and state.

    `python_for` gives the interpreter that is to host a release.
    """

    folder: Path
    listener: socket.socket
    workers: int
    variables: Mapping[str, str]
    home: Path
    python_for: Callable[[str], Path]
    log: int | None = None  # a file descriptor; None: this terminal


@dataclass(slots=True)
class _Crew:
    python: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    serves: bool = False
    ended: int = 0  # workers that ended since one of it was last ready
    again: float = 0.0


class Crews:
    """Keeps as many workers as wanted, in the environment that the live release needs; a context manager."""

    def __init__(self, posting: Posting) -> None:
        self._posting = posting
        self._serving: _Crew | None = None
        self._coming: _Crew | None = None
        self._going: list[_Crew] = []
        self._pointer: Pointer | None = None
        self._stamp: tuple[int, int] | None = None
        self._hosts: dict[str, Path] = {}
        self._without: set[str] = set()  # releases that have no interpreter, until the pointer moves
        self._was_ready = False

    def __enter__(self) -> Self:
        """Start the first crew; raises what stands in the way of the live release."""
        prometheus = self._posting.home / "prometheus"
        shutil.rmtree(prometheus, ignore_errors=True)
        prometheus.mkdir(parents=True)
        self._look()
        if self._pointer is None:
            raise OutsideError(
                f"nothing is live in {self._posting.folder}", next_step="deploy a release: `mlops deploy`"
            )
        self._serving = self._crew(self._posting.python_for(self._pointer.live), serves=True)
        if not self._serving.workers:
            raise OutsideError("no worker could be started", next_step=f"look at {self._serving.python}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let all workers drain, and end them."""
        every = [crew for crew in (self._serving, self._coming, *self._going) if crew is not None]
        workers = [worker for crew in every for worker in crew.workers]
        for worker in workers:
            _signal(worker, signal.SIGTERM)
        drain = {**os.environ, **self._posting.variables}.get(DRAIN_VARIABLE)
        until = time.monotonic() + _GRACE + float(drain or 0)
        for worker in workers:
            with suppress(subprocess.TimeoutExpired):
                worker.wait(max(0.0, until - time.monotonic()))
            _kill(worker)

    def tend(self) -> None:
        """Look once after everything: what the pointer names, who is ready, who has ended.

        OutsideError where the first crew ends before it was ever ready.
        """
        self._look()
        self._was_ready = self._was_ready or bool(read_acks(self._posting.folder))
        if self._pointer is not None:
            self._follow(self._pointer)
        for crew in (self._serving, self._coming):
            if crew is not None:
                self._replace_the_ended(crew)
        for crew in self._going:
            crew.workers = [worker for worker in crew.workers if worker.poll() is None]
        self._going = [crew for crew in self._going if crew.workers]

    def renew(self) -> None:
        """Bring a new crew in place of the one that serves, so that it runs the code that is installed now."""
        if self._coming is None and self._serving is not None:
            self._coming = self._crew(self._serving.python, serves=False)

    def _look(self) -> None:
        try:
            status = (self._posting.folder / POINTER).stat()
        except FileNotFoundError:
            return
        if (status.st_ino, status.st_mtime_ns) != self._stamp:
            self._stamp = (status.st_ino, status.st_mtime_ns)
            try:
                self._pointer, self._without = read_pointer(self._posting.folder), set()
            except MlopsError as error:  # workers go on with what they have
                _logger.error("the pointer is not followed: %s", error.message)  # noqa: TRY400 - it says all

    def _follow(self, pointer: Pointer) -> None:
        python = self._host(pointer.live)
        if python is None or self._serving is None:
            return
        if self._coming is not None and python != self._coming.python:
            _end(self._coming)  # it has not taken a connection
            self._coming = None
        if self._coming is None and python != self._serving.python:
            _logger.info("%s needs other packages: new workers come first, with %s", pointer.live, python)
            self._coming = self._crew(python, serves=False)
        if self._coming is not None and self._is_ready(self._coming, pointer):
            self._change_over(self._serving, self._coming)

    def _change_over(self, old: _Crew, new: _Crew) -> None:
        self._serving, self._coming, new.serves = new, None, True
        for worker in new.workers:
            _tell(worker, SERVE)
        for worker in old.workers:
            _tell(worker, LEAVE)
        self._going.append(old)
        _logger.info("%d new workers serve, %d leave", len(new.workers), len(old.workers))

    def _host(self, release: str) -> Path | None:
        """The interpreter for a release; None where there is none, which is logged once."""
        if release not in self._hosts and release not in self._without:
            try:
                self._hosts[release] = self._posting.python_for(release)
            except MlopsError as error:
                _logger.exception("%s cannot be hosted: %s", release, error.message)
                self._without.add(release)
        return self._hosts.get(release)

    def _is_ready(self, crew: _Crew, pointer: Pointer) -> bool:
        pids = {worker.pid for worker in crew.workers}
        acks = [ack for ack in read_acks(self._posting.folder) if ack.pid in pids]
        fit = [ack for ack in acks if ack.ok and (ack.generation, ack.serving) == (pointer.generation, pointer.live)]
        return len(fit) == self._posting.workers

    def _replace_the_ended(self, crew: _Crew) -> None:
        """Start workers in place of those that ended, after a while that grows where they do so again and again."""
        gone = [worker for worker in crew.workers if worker.poll() is not None]
        if gone:
            if not self._was_ready and crew is self._serving:
                code = gone[0].returncode
                raise OutsideError(
                    f"a worker ended with code {code} before it was ready", next_step="read its last words"
                )
            crew.workers = [worker for worker in crew.workers if worker.poll() is None]
            first, most = _AGAIN
            crew.again = time.monotonic() + min(most, first * 2.0**crew.ended)
            crew.ended += len(gone)
        if len(crew.workers) < self._posting.workers and time.monotonic() >= crew.again:
            self._fill(crew)
        elif crew.ended and time.monotonic() > crew.again + _GRACE:
            crew.ended = 0

    def _crew(self, python: Path, *, serves: bool) -> _Crew:
        crew = _Crew(python=python, serves=serves)
        self._fill(crew)
        return crew

    def _fill(self, crew: _Crew) -> None:
        while len(crew.workers) < self._posting.workers:
            try:
                worker = self._start(crew.python)
            except OSError:
                _logger.exception("a worker could not be started with %s", crew.python)
                crew.again = time.monotonic() + _AGAIN[1]
                return
            crew.workers.append(worker)
            if crew.serves:
                _tell(worker, SERVE)

    def _start(self, python: Path) -> subprocess.Popen[bytes]:
        place = self._posting
        own = {
            "BENTOML_HOME": str(place.home),
            "BENTOML_DO_NOT_TRACK": "True",
            "PYTHONDONTWRITEBYTECODE": "1",  # a bento that has served must still be what its manifest says
            "PROMETHEUS_MULTIPROC_DIR": str(place.home / "prometheus"),
        }
        number = place.listener.fileno()
        return subprocess.Popen(
            [str(python), "-P", "-m", "mlops.serving.worker", str(number)],
            env={**python_environment.variables(os.environ, python), **own, **place.variables},
            cwd=place.home,  # the folder that one stands in must not lend its modules to what is served
            stdin=subprocess.PIPE,
            stdout=place.log,
            stderr=place.log,
            pass_fds=(number,),
            start_new_session=True,  # a Ctrl-C reaches it once, through us
        )


def _tell(worker: subprocess.Popen[bytes], word: str) -> None:
    assert worker.stdin is not None  # noqa: S101 - it is a pipe
    with suppress(BrokenPipeError):  # it has ended, and is replaced
        worker.stdin.write(word.encode())
        worker.stdin.flush()


def _end(crew: _Crew) -> None:
    for worker in crew.workers:
        _kill(worker)


def _signal(worker: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        worker.send_signal(number)


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """End it with all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    if worker.stdin is not None:
        with suppress(BrokenPipeError):
            worker.stdin.close()
