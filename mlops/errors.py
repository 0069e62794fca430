"""Every way to fail: what happened, what to do next, and the exit code that says so to a machine.

Anything that is not an `MlopsError` is a bug of ours and shows its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class MlopsError(Exception):
    """A failure that the reader can act on: `message` says what is wrong, `next_step` what to do."""

    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, next_step: str) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.next_step}"


class GateFailed(MlopsError):
    """A gate said no, or could not say yes: the data, the features, the training or the model."""

    exit_code = 1


class UsageError(MlopsError):
    """We could not understand what was asked: options, configuration or declarations."""

    exit_code = 2


class ConfigError(UsageError):
    """`[tool.mlops]` in pyproject.toml is wrong; the message names file, line and key."""


class DeclarationError(UsageError):
    """A declaration in features/ or models/ is wrong; the message names file and line."""


class NothingToDo(MlopsError):
    """There was nothing to check. That is never a pass."""

    exit_code = 3


class OutsideError(MlopsError):
    """The world outside failed: MLflow, network, disk, a port, a source that cannot be read."""

    exit_code = 4


class NotPermitted(OutsideError):
    """GitHub's token lacks a `permission`, given as a workflow writes it: `pull-requests: write`."""

    def __init__(self, message: str, *, permission: str, next_step: str) -> None:
        super().__init__(message, next_step=next_step)
        self.permission = permission


class NotFound(OutsideError):
    """GitHub knows no such thing, or does not show it to this token."""


class Changed(OutsideError):
    """What a step was made of was edited while it ran: nothing of it is kept."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} changed while running; what was computed of it is not kept",
            next_step="run again; it goes on with what is there then",
        )


class DeploymentFailed(MlopsError):
    """The new release did not go live; the old one still serves."""

    exit_code = 5


class RollbackFailed(MlopsError):
    """The rollback did not go through; a person is needed."""

    exit_code = 6


class InsufficientEvidence(MlopsError):
    """The rows at hand cannot decide; a person must, or more rows."""

    exit_code = 7


INTERRUPTED = 130


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that helps with a misspelt name: `did you mean 'x'?`, else the names there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return "there are none yet."
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"there are: {shown}."
