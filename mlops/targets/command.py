"""Any other place as a target: the user's own commands bring a release live, ask whether it answers, and go back.

A command is a list of words that no shell reads. It is told by variables, and by the same names in braces within
its words, which release is to serve. Its exit codes mean what ours mean: 0 it is done; 5 it is not, and the old
release serves; 6 a person is needed; with any other the old release is put back.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlops.adapters import commands
from mlops.config import Command
from mlops.errors import DeploymentFailed, OutsideError, RollbackFailed
from mlops.serving.pointer import Pointer
from mlops.targets.outside import LeftAlone, OutsideTarget, PersonNeeded
from mlops.targets.protocol import Health, Order

_ASK_EVERY = 1.0  # seconds
_PROBE_SECONDS = 10.0  # for one probe, where somebody only wants to know


@dataclass(frozen=True)
class CommandTarget(OutsideTarget):
    """An environment that is moved by three commands, run in the project's folder `root`."""

    settings: Command = field(default_factory=Command)
    root: Path = Path()

    def preview(self, order: Order) -> str:
        """The commands that the order would run, with their variables."""
        self._whole(order)
        variables = self._variables(order.family, order.release, order.action)
        first = self.settings.rollback if order.action == "rollback" else self.settings.deploy
        told = [f"{name}={value}" for name, value in variables.items()]
        return "\n".join([*told, _shown(first, variables), _shown(self.settings.probe, variables)])

    def _put(self, family: Path, new: Pointer) -> None:
        action = new.event.action if new.event else "deploy"
        self._run("rollback" if action == "rollback" else "deploy", family.name, new.live)
        self._await(family.name, new.live)

    def _put_back(self, family: Path, old: Pointer | None, new: Pointer) -> None:  # noqa: ARG002 - the same for all
        if old is None:  # the first one: there is nothing to go back to
            return
        self._run("rollback", family.name, old.live)
        self._await(family.name, old.live)

    def _ask(self, family: Path, pointer: Pointer) -> Health:
        try:
            ended = self._once("probe", family.name, pointer.live, min(_PROBE_SECONDS, self.settings.seconds))
        except OutsideError as error:
            return Health(running=False, ready=False, troubles={0: error.message})
        if ended.done:
            return Health(running=True, ready=True, serving={0: pointer.live})
        return Health(running=False, ready=False, troubles={0: _ending("probe", ended, self.settings.seconds)})

    def _run(self, which: str, family: str, release: str) -> None:
        try:
            ended = self._once(which, family, release, self.settings.seconds)
        except commands.NotStarted as error:
            raise LeftAlone(error.message, next_step=error.next_step) from error
        if ended.done:
            return
        said = _ending(which, ended, self.settings.seconds)
        step = f"mend what {_words(self.settings, which)[0]} says"
        if ended.code == DeploymentFailed.exit_code:
            raise LeftAlone(said, next_step=step)
        if ended.code == RollbackFailed.exit_code:
            raise PersonNeeded(f"{said}, which means that a person is needed", next_step=step)
        raise OutsideError(said, next_step=step)

    def _await(self, family: str, release: str) -> None:
        """Return when the probe succeeds; OutsideError with its last words when time is up."""
        deadline = time.monotonic() + self.settings.ready_seconds
        while True:
            left = max(0.1, deadline - time.monotonic())
            ended = self._once("probe", family, release, min(left, self.settings.seconds))
            if ended.done:
                return
            if time.monotonic() + _ASK_EVERY >= deadline:
                raise OutsideError(
                    f"{release} did not answer within {self.settings.ready_seconds:g} seconds: "
                    f"{_ending('probe', ended, left)}",
                    next_step="look at the release there, or raise ready_seconds of the environment's command",
                )
            time.sleep(_ASK_EVERY)

    def _once(self, which: str, family: str, release: str, seconds: float) -> commands.Ended:
        variables = self._variables(family, release, which)
        words = _filled(_words(self.settings, which), variables)
        return commands.run(words, folder=self.root, variables=variables, seconds=seconds)

    def _variables(self, family: str, release: str, action: str) -> dict[str, str]:
        return {
            "MLOPS_ACTION": action,
            "MLOPS_ENVIRONMENT": self.environment,
            "MLOPS_FAMILY": family,
            "MLOPS_RELEASE": release,
            "MLOPS_FOLDER": str((self.releases / release).resolve()),
            "MLOPS_LIVE": self.standing(family).live or "",
            "MLOPS_ONLINE": str(self.online.resolve()),
        }


def _words(settings: Command, which: str) -> tuple[str, ...]:
    return {"deploy": settings.deploy, "probe": settings.probe, "rollback": settings.rollback}[which]


def _filled(words: Sequence[str], variables: dict[str, str]) -> list[str]:
    filled = list(words)
    for name, value in variables.items():
        filled = [word.replace(f"{{{name.removeprefix('MLOPS_').lower()}}}", value) for word in filled]
    return filled


def _shown(words: Sequence[str], variables: dict[str, str]) -> str:
    return shlex.join(_filled(words, variables))


def _ending(which: str, ended: commands.Ended, seconds: float) -> str:
    how = f"did not end within {seconds:g} seconds" if ended.code is None else f"ended with code {ended.code}"
    said = ended.said.strip().splitlines()
    return f"the {which} command {how}" + (f", and said last: {said[-1]}" if said else "")
