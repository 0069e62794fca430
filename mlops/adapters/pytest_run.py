"""Runs the user's tests in a process of their own, and gives how each one ended."""

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
from typing import Any, Literal, Self

import msgspec

from mlops.adapters.pytest_plugin import GIVEN, REPLAY, REPORT
from mlops.config import Config

_LIMIT_SECONDS = 1800.0
_TAIL_LINES = 15
_HASH_SEED = "4711"  # not ours: sets of strings come in another order there
_NO_TESTS = 5  # pytest's exit code


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """One test: where it stands, `passed`, `failed`, `skipped` or `not run`, and the features it called.

    `asserted` is whether a failed test said no by an assertion; else it crashed, or its fixtures did.
    """

    id: str
    file: str
    line: int
    outcome: str
    message: str
    called: tuple[str, ...]
    asserted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A test file that could not be collected, or that skips itself as a whole."""

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
class Given:
    """What a gate gives its tests: the project, the subject, and where its rows, model or service are.

    `marks` are the names by which a test may be marked as one of this subject; `known` all names that a mark may have.
    Tables and the model are digests in the object store, the contract is its JSON.
    """

    on: Literal["data", "model", "service"]
    subject: str
    root: str
    config: Config
    marks: tuple[str, ...]
    known: tuple[str, ...]
    rows: str = ""
    predictions: str = ""
    model: str = ""
    contract: str = ""
    url: str = ""
    requests: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How the tests went; `crashed` holds the end of the output where pytest itself did not come to an end.

    `elsewhere` counts the tests of other subjects, which were left out.
    """

    tests: tuple[Tested, ...] = ()
    errors: tuple[Broken, ...] = ()
    skipped: tuple[Broken, ...] = ()
    elsewhere: int = 0
    replayed: dict[str, str] = field(default_factory=dict)
    crashed: str = ""


class RunningTests:
    """pytest at work beside us; leaving the block ends it."""

    def __init__(
        self,
        root: Path,
        folders: Sequence[str],
        scratch: Path,
        replays: Sequence[Replay] = (),
        given: Given | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tests-", dir=scratch)
        place = Path(self._folder.name)
        self._report, self._output = place / "report.json", place / "output.txt"
        (place / "replay.json").write_bytes(msgspec.json.encode(replays))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_") and k != GIVEN}
        paths = [str(root), *filter(None, [environment.get("PYTHONPATH")])]
        environment |= {
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONHASHSEED": _HASH_SEED,
            REPORT: str(self._report),
            REPLAY: str(place / "replay.json"),
        }
        if given is not None:
            (place / "given.json").write_bytes(msgspec.json.encode(given))
            environment[GIVEN] = str(place / "given.json")
            # Gates run side by side: threads that wait for each other there cost tenfold.
            environment.setdefault("OMP_NUM_THREADS", "1")
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [*_COMMAND, *(_CHECKS if given is not None else ()), f"--rootdir={root}", *folders],
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


# A test that returns a finding has asserted nothing; newer versions of pytest only warn.
_CHECKS = ("-W", "error::pytest.PytestReturnNotNoneWarning")

# The project's addopts may ask for coverage or workers; what counts here is that each test runs and is seen.
_COMMAND = [
    *(sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=short", "--import-mode=importlib"),
    *("-o", "addopts=", "-p", "no:cacheprovider", "-p", "mlops.adapters.pytest_plugin", "-p", "mlops.fixtures"),
]
