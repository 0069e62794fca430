"""Places beyond this machine: what has to happen there happens first, then the pointer here follows.

A note of the order lies beside the pointer for as long as it is under way. So where the deployer was killed, the
next order does not take the pointer's word for what serves, and brings its release live again.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import msgspec

from mlops.adapters.files import write_atomically
from mlops.errors import DeploymentFailed, MlopsError, RollbackFailed
from mlops.serving.pointer import Pointer, read_pointer, write_pointer
from mlops.targets.kept import KeptTarget
from mlops.targets.protocol import Health

MOVING = "moving.json"


class LeftAlone(MlopsError):
    """The place itself says that the release did not come live and that the old one serves: nothing to put back."""


class PersonNeeded(MlopsError):
    """The place itself says that it can neither go on nor back."""


@dataclass(frozen=True)
class OutsideTarget(KeptTarget):
    """A place that is told what to run; who inherits says how it is told, asked and put back."""

    @abstractmethod
    def _put(self, family: Path, new: Pointer) -> None:
        """Bring the release of `new` live there, and return when it answers; raises what stood in the way."""

    @abstractmethod
    def _put_back(self, family: Path, old: Pointer | None, new: Pointer) -> None:
        """Have the release of `old` serve again, or nothing where nothing did; raises where that fails."""

    @abstractmethod
    def _ask(self, family: Path, pointer: Pointer) -> Health:
        """What runs there, by the place's own word."""

    def _tidy(self, family: Path, new: Pointer) -> None:
        """Remove there what is not needed any more, once the release is live."""

    def health(self, family: str) -> Health:
        """What runs there; an order that was never finished is a trouble."""
        folder = self.folder / family
        pointer = read_pointer(folder)
        if pointer is None:
            return Health(running=False, ready=False)
        found = self._ask(folder, pointer)
        if not (folder / MOVING).exists():
            return found
        trouble = f"the move to {_moving(folder)} was interrupted: deploy or roll back again to settle what serves"
        return replace(found, troubles={**found.troubles, -1: trouble})

    def _bring(self, family: Path, old: Pointer | None, new: Pointer) -> None:
        write_atomically(family / MOVING, msgspec.json.encode(new))
        try:
            self._put(family, new)
        except PersonNeeded as error:
            raise RollbackFailed(error.message, next_step=error.next_step) from error
        except MlopsError as error:
            self._return(family, old, new, error)
        write_pointer(family, new)
        (family / MOVING).unlink(missing_ok=True)
        with contextlib.suppress(MlopsError):  # the release is live; what was left there goes the next time
            self._tidy(family, new)

    def _return(self, family: Path, old: Pointer | None, new: Pointer, error: MlopsError) -> NoReturn:
        """Put the old release back, and say so; where that fails too, a person is needed and the note stays."""
        before = old.live if old else "nothing"
        if not isinstance(error, LeftAlone):
            try:
                self._put_back(family, old, new)
            except MlopsError as second:
                raise RollbackFailed(
                    f"{new.live} did not go live: {error.message}; and {before} could not be put back: "
                    f"{second.message}",
                    next_step=f"look what serves there, then bring {before} back by hand; {second.next_step}",
                ) from error
        (family / MOVING).unlink(missing_ok=True)
        raise DeploymentFailed(
            f"{new.live} did not go live: {error.message}; {before} is live", next_step=error.next_step
        ) from error

    def _settled(self, family: Path, pointer: Pointer) -> bool:
        return not (family / MOVING).exists() and self._ask(family, pointer).ready


def _moving(folder: Path) -> str:
    try:
        return msgspec.json.decode((folder / MOVING).read_bytes(), type=Pointer).live
    except (FileNotFoundError, msgspec.DecodeError):
        return "another release"
