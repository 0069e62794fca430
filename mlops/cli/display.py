"""What a person sees while steps run: a line for each that ended, and on a terminal what runs now."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from mlops.reports.text import line
from mlops.verdict import Outcome, Record

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_COLOURS = {Outcome.PASS: "green", Outcome.OVERRIDDEN: "yellow", Outcome.INSUFFICIENT: "yellow"}


class Display:
    """Writes to stderr, so that stdout holds the report alone; a context manager."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._lock = threading.Lock()
        self._running: dict[str, TaskID] = {}
        self._started: set[str] = set()
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        """Begin to show; spinners only on a terminal."""
        if sys.stderr.isatty() and not self._quiet:
            self._progress = _spinners()
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave a clean line."""
        if self._progress is not None:
            self._progress.stop()

    def started(self, name: str) -> None:
        """A step is being computed."""
        with self._lock:
            self._started.add(name)
            self._spin(name, "")

    def progress(self, name: str, text: str) -> None:
        """A step has something to say; one that has not started says why."""
        with self._lock:
            if self._progress is not None:
                self._spin(name, text)
            elif name not in self._started and not self._quiet:
                click.echo(f"… {name} {text}", err=True)

    def _spin(self, name: str, text: str) -> None:
        if self._progress is None:
            return
        if name in self._running:
            self._progress.update(self._running[name], said=text)
        else:
            self._running[name] = self._progress.add_task(name, said=text, total=None)

    def finished(self, record: Record) -> None:
        """A step is over."""
        with self._lock:
            running = self._running.pop(record.name, None)
        if self._progress is not None and running is not None:
            self._progress.remove_task(running)
        if self._quiet:
            return
        mark, rest = line(record)[:1], line(record)[1:]
        colour = _COLOURS.get(record.verdict.outcome if record.verdict else Outcome.PASS, "red")
        if self._progress is None:
            click.echo(click.style(mark, fg=colour, bold=True) + rest, err=True)
        else:
            from rich.text import Text

            shown = Text.assemble((mark, f"bold {colour}"), rest)
            self._progress.console.print(shown, soft_wrap=True)


def _spinners() -> Progress:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[said]}"),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)
