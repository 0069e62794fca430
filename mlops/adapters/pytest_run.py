"""Runs the user's tests of features in a process of their own, and gives how each one ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from mlops.adapters.pytest_plugin import REPLAY, REPORT

_LIMIT_SECONDS = 1800.0
_TAIL_LINES = 15
_HASH_SEED = "4711"  # not ours: sets of strings come in another order there
_NO_TESTS = 5  # pytest's exit code


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """One test: where it stands, `passed`, `failed`, `skipped` or `not run`, and the features it called."""

    id: str
    file: str
    line: int
    outcome: str
    message: str
    called: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A test file that could not be collected."""

    id: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A view to compute in the tests' process too: from the Parquet file `sample` to the Parquet file `result`."""

    name: str
    module: str
    sample: str
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How the tests went; `crashed` holds the end of the output where pytest itself did not come to an end."""

    tests: tuple[Tested, ...] = ()
    errors: tuple[Broken, ...] = ()
    replayed: dict[str, str] = field(default_factory=dict)
    crashed: str = ""


class RunningTests:
    """pytest at work beside us; leaving the block ends it."""

    def __init__(self, root: Path, folders: Sequence[str], scratch: Path, replays: Sequence[Replay] = ()) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tests-", dir=scratch)
        place = Path(self._folder.name)
        self._report, self._output = place / "report.json", place / "output.txt"
        (place / "replay.json").write_bytes(msgspec.json.encode(replays))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        paths = [str(root), *filter(None, [environment.get("PYTHONPATH")])]
        environment |= {
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONHASHSEED": _HASH_SEED,
            REPORT: str(self._report),
            REPLAY: str(place / "replay.json"),
        }
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [*_COMMAND, f"--rootdir={root}", *folders],
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.alive:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # its own group: the tests' children go too
            self._process.wait()
        self._folder.cleanup()

    @property
    def alive(self) -> bool:
        """Whether the tests are still at work."""
        return self._process.poll() is None

    def finish(self) -> Ran:
        """Wait for the end; gives what the tests reported."""
        try:
            code = self._process.wait(_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            return Ran(crashed=f"still running after {_LIMIT_SECONDS:.0f} s\n{self._tail()}")
        if code not in (0, 1, 2, _NO_TESTS) or not self._report.exists():
            return Ran(crashed=f"pytest ended with code {code}\n{self._tail()}")
        ran = msgspec.json.decode(self._report.read_bytes(), type=Ran)
        if code != 0 and not ran.errors and all(t.outcome in ("passed", "skipped") for t in ran.tests) and ran.tests:
            return Ran(crashed=f"pytest ended with code {code}\n{self._tail()}")
        return ran

    def _tail(self) -> str:
        return "\n".join(self._output.read_text("utf-8", "replace").splitlines()[-_TAIL_LINES:])


# The project's addopts may ask for coverage or workers; what counts here is that each test runs and is seen.
_COMMAND = [
    *(sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=short", "--import-mode=importlib"),
    *("-o", "addopts=", "-p", "no:cacheprovider", "-p", "mlops.adapters.pytest_plugin"),
]
