"""What a worker counts of the live release and a canary side by side, and leaves in a file for whoever judges them.

Counting costs a request a few microseconds, and only while a canary is on; another thread writes the file. It stays
when its worker dies, so what was counted is never lost but for the last half second.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct

from mlops.adapters.files import write_atomically

TALLIES = "tallies"
_PER_DECADE = 10  # latency bins: each is 1.26 times as slow as the one before
_PER_LOGIT, _MOST_LOGIT = 4, 12.0
_PER_OCTAVE = 16  # amounts: bins of 4 %
_ABOVE_ALL = 4096  # so that bins of positive amounts are positive numbers, and those of negative ones negative


class Counts(Struct, kw_only=True):
    """What one release did: of `requests`, how many failed (5xx), were refused by its contract, were not finite.

    `latency` counts those that were answered by `latency_bin`; `labels` and `numbers` the predictions of the first row
    of each request by label and by `number_bin`, because the rows of one request are not independent.
    """

    requests: int = 0
    errors: int = 0
    refused: int = 0
    non_finite: int = 0
    latency: dict[int, int] = {}
    labels: dict[str, int] = {}
    numbers: dict[int, int] = {}

    def note(self, status: int, seconds: float, *, finite: bool = True) -> None:
        """Count one request by how it ended."""
        self.requests += 1
        if status == 200:
            _count(self.latency, latency_bin(seconds))
        elif status >= 500:
            self.errors += 1
        else:
            self.refused += finite
            self.non_finite += not finite

    def told(self, answer: Mapping[str, Any]) -> None:
        """Count one prediction."""
        value, chance = answer["prediction"], answer.get("probability")
        if isinstance(value, float) and chance is None and "probabilities" not in answer:
            _count(self.numbers, number_bin(value))
        else:
            _count(self.labels, str(value))
        if chance is not None:
            _count(self.numbers, chance_bin(chance))

    def add(self, other: Counts) -> None:
        """Take another worker's counts in."""
        for name in ("requests", "errors", "refused", "non_finite"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("latency", "labels", "numbers"):
            mine = getattr(self, name)
            for key, count in getattr(other, name).items():
                mine[key] = mine.get(key, 0) + count


class Compared(Struct, kw_only=True):
    """What a shadow was asked: `same` and `different` answers, those that it failed, and requests that it missed.

    `gap` is the largest difference of a number (a probability, or an amount) that was seen, `gaps` their sum.
    """

    same: int = 0
    different: int = 0
    failed: int = 0
    missed: int = 0
    gap: float = 0.0
    gaps: float = 0.0

    @property
    def asked(self) -> int:
        """How many requests it was asked."""
        return self.same + self.different + self.failed

    def add(self, other: Compared) -> None:
        """Take another worker's counts in."""
        for name in ("same", "different", "failed", "missed", "gaps"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.gap = max(self.gap, other.gap)


class Tally(Struct, kw_only=True):
    """One worker's counts of one trial; `left` once it has ended in order."""

    pid: int = msgspec.field(default_factory=os.getpid)
    worker: str = msgspec.field(default_factory=lambda: uuid4().hex[:12])  # process ids come again
    left: bool = False
    releases: dict[str, Counts] = {}
    shadow: Compared = msgspec.field(default_factory=Compared)

    def of(self, release: str) -> Counts:
        """The counts of a release, begun where there are none."""
        found = self.releases.get(release)
        if found is None:
            found = self.releases[release] = Counts()
        return found


def save(folder: Path, trial: str, tally: Tally) -> None:
    """Leave a worker's counts where whoever judges the trial reads them."""
    write_atomically(folder / TALLIES / trial / f"{tally.worker}.json", msgspec.json.encode(tally))


def read_tallies(folder: Path, trial: str) -> tuple[Tally, ...]:
    """What the workers of a trial have left, also those that died since."""
    files = sorted((folder / TALLIES / trial).glob("*.json"))
    return tuple(msgspec.json.decode(file.read_bytes(), type=Tally) for file in files)


def total(tallies: tuple[Tally, ...], release: str) -> Counts:
    """The counts of one release over all workers."""
    sum_ = Counts()
    for tally in tallies:
        if release in tally.releases:
            sum_.add(tally.releases[release])
    return sum_


def latency_bin(seconds: float) -> int:
    """The number of a latency's bin; `latency_edge` is its upper end."""
    return math.floor(_PER_DECADE * math.log10(max(seconds, 1e-6)))


def latency_edge(number: int) -> float:
    """The seconds at which the bin of that number ends."""
    return float(10.0 ** ((number + 1) / _PER_DECADE))


def chance_bin(chance: float) -> int:
    """The bin of a probability: evenly spaced in its logit, so that small ones are told apart too."""
    inside = min(max(chance, 1e-12), 1 - 1e-12)
    logit = math.log(inside / (1 - inside))
    return round(_PER_LOGIT * min(max(logit, -_MOST_LOGIT), _MOST_LOGIT))


def number_bin(value: float) -> int:
    """The bin of an amount: evenly spaced in its logarithm, 0 for 0; in the order of the amounts."""
    if value == 0 or not math.isfinite(value):
        return 0
    number = max(_ABOVE_ALL + round(_PER_OCTAVE * math.log2(abs(value))), 1)
    return number if value > 0 else -number


def _count(into: dict[Any, int], key: int | str) -> None:
    into[key] = into.get(key, 0) + 1
