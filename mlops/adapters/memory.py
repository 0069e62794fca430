"""The memory that a step takes, measured while it runs: this process's peak, and that of the processes it started.

Steps run side by side as threads of one process, so what is measured is the whole process while the step ran: two
steps at one time share their peak. Where the system has no `/proc`, the process's highest so far is given.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_EVERY = 0.05
"""Seconds between two looks; a new peak of the process itself is seen however short it was."""

_SELF = Path("/proc/self")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes of resident memory: of this process, and of all processes below it together; 0 where unknown."""

    own: int = 0
    children: int = 0


class Meter:
    """Measures from `with` to its end; `peak` holds what was found then."""

    def __init__(self) -> None:
        self.peak = Peak()
        self._own = self._children = 0

    def __enter__(self) -> Self:
        """Begin to look."""
        self._before = _highest()
        self._look()
        _WATCH.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End, and know the peak."""
        _WATCH.remove(self)
        self._look()
        highest = _highest()
        own = highest if highest > self._before or not self._own else self._own
        self.peak = Peak(own=own, children=self._children)

    def saw(self, own: int, children: int) -> None:
        """Take a look's numbers."""
        self._own, self._children = max(self._own, own), max(self._children, children)

    def _look(self) -> None:
        self.saw(_resident(_SELF), 0)


class _Watch:
    """One thread that looks for all meters, and ends when there is none."""

    def __init__(self) -> None:
        self._meters: list[Meter] = []
        self._lock = threading.Lock()
        self._change = threading.Event()
        self._running = False

    def add(self, meter: Meter) -> None:
        with self._lock:
            self._meters.append(meter)
            self._change.clear()
            if self._running or not (_SELF / "statm").exists():
                return
            self._running = True
        threading.Thread(target=self._run, name="memory", daemon=True).start()

    def remove(self, meter: Meter) -> None:
        with self._lock:
            self._meters.remove(meter)
            if not self._meters:
                self._change.set()

    def _run(self) -> None:
        while True:
            own, children = _resident(_SELF), _below(os.getpid())
            with self._lock:
                if not self._meters:
                    self._running = False
                    return
                for meter in self._meters:
                    meter.saw(own, children)
            self._change.wait(_EVERY)


_WATCH = _Watch()


def _highest() -> int:
    """The most that this process ever had resident."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _resident(process: Path) -> int:
    try:
        return int((process / "statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):  # it has ended, or there is no /proc
        return 0


def _below(parent: int) -> int:
    """What all processes below one have resident together."""
    total = 0
    for child in _children(parent):
        total += _resident(Path("/proc") / str(child)) + _below(child)
    return total


def _children(parent: int) -> list[int]:
    found: list[int] = []
    try:
        for task in (Path("/proc") / str(parent) / "task").iterdir():
            found += [int(one) for one in (task / "children").read_bytes().split()]
    except OSError:  # ended meanwhile, or a kernel without this list
        return found
    return found
