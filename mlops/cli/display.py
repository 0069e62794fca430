"""What a person sees while steps run: a line for each that ended, and on a terminal what runs now."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from types import TracebackType
from typing import Self

import click

from mlops.reports.text import line
from mlops.reports.words import seconds
from mlops.verdict import Outcome, Record

_COLOURS = {Outcome.PASS: "green", Outcome.OVERRIDDEN: "yellow", Outcome.INSUFFICIENT: "yellow"}


class Display:
    """Writes to stderr, so that stdout holds the report alone; a context manager."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() and not quiet
        self._running: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._terminal:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave a clean line."""
        self._over.set()
        if self._terminal:
            self._ticker.join()
            self._clear()

    def started(self, name: str) -> None:
        """A step is being computed."""
        with self._lock:
            self._running[name] = (time.monotonic(), "")

    def progress(self, name: str, text: str) -> None:
        """A step has something to say."""
        with self._lock:
            begun, _ = self._running.get(name, (time.monotonic(), ""))
            self._running[name] = (begun, text)

    def finished(self, record: Record) -> None:
        """A step is over."""
        with self._lock:
            self._running.pop(record.name, None)
            if self._quiet:
                return
            self._clear()
            mark, rest = line(record)[:1], line(record)[1:]
            outcome = record.verdict.outcome if record.verdict else Outcome.PASS
            click.echo(click.style(mark, fg=_COLOURS.get(outcome, "red"), bold=True) + rest, err=True)

    def _clear(self) -> None:
        if self._terminal:
            click.echo("\r\x1b[2K", nl=False, err=True)

    def _tick(self) -> None:
        frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        for count in range(1_000_000):
            if self._over.wait(0.1):
                return
            with self._lock:
                now = time.monotonic()
                shown = [f"{n} {t or seconds(now - b)}" for n, (b, t) in self._running.items()]
                width = shutil.get_terminal_size().columns
                if shown:
                    text = f"{frames[count % len(frames)]} {'   '.join(shown)}"
                    click.echo("\r\x1b[2K" + text[: width - 1], nl=False, err=True)
