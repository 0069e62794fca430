"""What every place that runs releases can do. Targets are modules' classes of one shape, chosen by `target = "…"`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from mlops.release import Event, Manifest

Action = Literal["deploy", "rollback", "retire"]
MOVES: tuple[Action, ...] = ("deploy", "rollback")
RETIRED: Action = "retire"
"""What is said of a release that an environment keeps no longer for a rollback; it moves nothing."""

Prepare = Callable[[Manifest, Path], None]
"""Called with a whole release before it goes live and the online store's path: publishes the features it reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which release is to go live, and who wants it why."""

    action: Action
    family: str
    release: str
    who: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How an order ended: `changed` is False when the release was live already.

    `workers` is how many took it over; None where the place does not tell.
    """

    release: str
    previous: str | None
    changed: bool
    workers: int | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What runs: `serving` maps a living worker's process id to its release, `troubles` to why it refused another."""

    running: bool
    ready: bool
    address: str = ""
    pid: int | None = None
    serving: Mapping[int, str] = field(default_factory=dict)
    troubles: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is live in one environment for one family of models; None where nothing is."""

    family: str
    live: str | None
    previous: str | None
    since: str
    who: str
    reason: str


class Target(Protocol):
    """A place that runs releases."""

    def move(self, order: Order, *, prepare: Prepare | None = None) -> Moved:
        """Bring a release live, or leave all as it was and raise DeploymentFailed or RollbackFailed."""

    def preview(self, order: Order) -> str:
        """What the order would do, in the place's own language; nothing is touched. Raises what would refuse it."""

    def families(self) -> tuple[str, ...]:
        """The families of models that have had a release here."""

    def standing(self, family: str) -> Standing:
        """What is live."""

    def retained(self, family: str) -> tuple[str, ...]:
        """The live release, then those kept for a rollback, newest first; without those that were given up."""

    def health(self, family: str) -> Health:
        """What runs."""

    def history(self, family: str) -> tuple[Event, ...]:
        """What happened, oldest first."""
