"""A measured ratio, its goal, and how it is told."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """`ours` and `rivals` in `unit`; the goal is a ratio of at most `goal`."""

    promise: str
    name: str
    ours: float
    rivals: float
    goal: float
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """Ours as a part of the rival's."""
        return self.ours / self.rivals

    def line(self) -> str:
        """One line of the table."""
        mark = "✓" if self.ratio <= self.goal else "✗"
        return (
            f"{mark} {self.promise:<4} {self.name:<44} ours {self.ours:8.3f} {self.unit}   "
            f"rival {self.rivals:8.3f} {self.unit}   ratio {self.ratio:6.3f}   goal <= {self.goal}"
        )


def alternating(ours: Callable[[], None], rival: Callable[[], None], *, rounds: int) -> tuple[float, float]:
    """Median seconds of both, run in turn so that what the machine does meanwhile hits both."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for kept, run in zip(spent, (ours, rival), strict=True):
            started = time.perf_counter()
            run()
            kept.append(time.perf_counter() - started)
    return statistics.median(spent[0]), statistics.median(spent[1])


def process(command: Sequence[str], **more: object) -> Callable[[], None]:
    """Run a command to its end, which must be a good one."""

    def run() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)

    return run
