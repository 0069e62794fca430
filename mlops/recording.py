"""Keeps the ledger in step with a run, without keeping the run waiting.

MLflow takes two seconds to import and some more to make its database, so it opens on a thread of its own
while the first steps compute, and records are written behind them, in order. Nothing is opened when
everything was computed before.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from mlops.adapters import files
from mlops.adapters.github.event import current
from mlops.adapters.ledger_opening import tracking_uri
from mlops.adapters.lock import alive
from mlops.errors import MlopsError, OutsideError
from mlops.verdict import Outcome, Record

if TYPE_CHECKING:
    from mlops.adapters.ledger import Ledger
    from mlops.workspace import Workspace

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """What a run is about: the command, the commit and who executes it."""

    command: str
    commit: str
    dirty: bool
    branch: str = ""
    version: str = ""

    def tags(self) -> dict[str, str]:
        """As tags of the ledger."""
        return {
            "mlops.commit": self.commit,
            "mlops.dirty": str(self.dirty).lower(),
            "mlops.branch": self.branch,
            "mlops.version": self.version,
            "mlops.executor": executor(),
            "mlflow.source.name": f"mlops {self.command}",
            "mlflow.source.git.commit": self.commit,
            "mlflow.user": _user(),
        }


def executor() -> str:
    """Who runs this: the workflow run's URL, else user and host."""
    event = current()
    return (event.run_url if event else "") or f"{_user()}@{platform.node()}"


@dataclass
class Recorder:
    """The ledger of one run, opened when the first record comes; a context manager."""

    workspace: Workspace
    push: Push
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="ledger"))
    _opened: Future[tuple[Ledger, str]] | None = None
    _pending: list[Future[str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def warm(self) -> None:
        """Begin to open the ledger, and the push's run in it."""
        with self._lock:
            if self._opened is None:
                self._opened = self._pool.submit(self._open)

    def record(self, record: Record) -> None:
        """Write a record behind the run; raises the OutsideError of an earlier one."""
        self.warm()
        self._raise_what_failed()
        if record.run_id:  # it wrote its own run
            return
        self._pending.append(self._pool.submit(self._write, record))

    def call(self, action: Callable[[Ledger, str], T]) -> T:
        """Do something with the ledger and the push's run id, after all that was recorded before."""
        self.warm()
        return self._pool.submit(lambda: action(*self._ledger())).result()

    def close(self, outcome: Outcome, error: str = "") -> None:
        """Write what is pending and close the push's run with its outcome.

        A run that did nothing opens the ledger only to tell it of one that was killed.
        """
        try:
            if self._killed():
                self.warm()
            if self._opened is not None:
                self.call(lambda ledger, run: ledger.end(run, outcome, error))
                self._raise_what_failed()
                self._marker.unlink(missing_ok=True)
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def _marker(self) -> Path:
        return self.workspace.home / f"run-{os.getpid()}.json"

    def _open(self) -> tuple[Ledger, str]:
        from mlops.adapters.ledger import Ledger

        ledger = Ledger(self.workspace.home, self.workspace.config.name)
        self._bury_killed(ledger)
        marker = {"run": "", "token": uuid4().hex, "pid": str(os.getpid()), "ledger": ledger.uri}
        files.write_atomically(
            self._marker, json.dumps(marker).encode()
        )  # before: a kill may come right after it begins
        try:
            name = f"{self.push.command} {self.push.commit[:8]}".strip()
            run = ledger.begin(name, {**self.push.tags(), "mlops.token": marker["token"]})
        except OutsideError:
            self._marker.unlink(missing_ok=True)
            raise
        files.write_atomically(self._marker, json.dumps({**marker, "run": run}).encode())
        return ledger, run

    def _bury_killed(self, ledger: Ledger) -> None:
        """A run that was killed could not say so: the next one says it for it."""
        for marker, left in self._killed():
            with contextlib.suppress(OutsideError):  # a ledger that does not know the run has nothing to mend
                run = left["run"] or ledger.begun(left.get("token", ""))
                if run:
                    ledger.killed(run)
            marker.unlink(missing_ok=True)

    def _killed(self) -> list[tuple[Path, dict[str, str]]]:
        """Markers of the runs of this ledger whose process is gone, with what they say."""
        found = []
        for marker in self.workspace.home.glob("run-*.json"):
            try:
                left = json.loads(marker.read_bytes())
            except FileNotFoundError:  # its run has ended since, or another one has buried it
                continue
            if left["ledger"] == tracking_uri(self.workspace.home) and not alive(int(left["pid"])):
                found.append((marker, left))
        return found

    def _ledger(self) -> tuple[Ledger, str]:
        if self._opened is None:
            raise RuntimeError("warm() comes first")
        return self._opened.result()

    def _write(self, record: Record) -> str:
        ledger, run = self._ledger()
        return ledger.record(record, run, self.push.tags())

    def _raise_what_failed(self) -> None:
        for future in [f for f in (self._opened, *self._pending) if f is not None and f.done()]:
            error = future.exception()
            if isinstance(error, MlopsError):
                raise error


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
