"""A program of the user's run to its end: without a shell, bounded in time, its words shown as they come."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mlops.errors import OutsideError

_LAST_LINES = 12
_CLOSING_SECONDS = 2.0  # for what it said last to be read, where a child of its own holds the pipe open


class NotStarted(OutsideError):
    """The program could not be started, so it has changed nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended: its exit code (None where its time was up), and the last lines that it said."""

    code: int | None
    said: str

    @property
    def done(self) -> bool:
        """Whether it says that all went well."""
        return self.code == 0


def run(words: Sequence[str], *, folder: Path, variables: Mapping[str, str], seconds: float) -> Ended:
    """Run a program in `folder` with further variables; its output goes to stderr line by line.

    It has a process group of its own, which ends with it: none of its children outlives a timeout.
    NotStarted where it cannot be.
    """
    try:
        process = subprocess.Popen(
            list(words),
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise NotStarted(
            f"{words[0]} cannot be run: {error.strerror or error}",
            next_step=f"look whether it is there and executable, seen from {folder}",
        ) from None
    said: deque[str] = deque(maxlen=_LAST_LINES)
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    reader = threading.Thread(target=_show, args=(process.stdout, said), daemon=True)
    reader.start()
    code: int | None = None
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(seconds)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join(_CLOSING_SECONDS)
    return Ended(code=code, said="\n".join(said))


def _show(pipe: IO[bytes], said: deque[str]) -> None:
    with pipe:
        for line in pipe:
            text = line.decode(errors="replace").rstrip()
            said.append(text)
            sys.stderr.write(f"  {text}\n")
