"""A case of the self-test: one planted fault, the check that must fire, and what the gate must do."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mlops.faults.bench import Bench
from mlops.verdict import Finding


class Reaction(StrEnum):
    """What a gate does about a table or a model, weakest first."""

    NOT_RUN = "not run"
    PASSES = "passes"
    WARNS = "warns"
    RETRAINS = "retrains"
    STOPS = "stops"

    def is_at_least(self, other: Reaction) -> bool:
        """Whether it does no less than `other` does."""
        order = list(Reaction)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault in words, the check that must find it, what that check must do at least, and the judgement.

    `setting` names the user's setting on which the check depends, as it is written, for when it lets the fault through.
    Without a `check` it is a sound case: all findings together must pass.
    """

    fault: str
    check: str
    judge: Callable[[], Iterable[Finding]]
    expected: Reaction = Reaction.STOPS
    setting: str = ""


class Gate(Protocol):
    """A module of this package."""

    def cases(self, bench: Bench) -> Generator[Case]:
        """The cases that apply to this bench."""


def sound(judge: Callable[[], Iterable[Finding]], what: str = "none") -> Case:
    """The case without a fault, which has to pass."""
    return Case(fault=what, check="", judge=judge, expected=Reaction.PASSES)
