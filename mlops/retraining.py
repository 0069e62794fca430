"""Whether a family may be trained anew for a reason, by what has happened before: computed from events, edited by none.

A retrain is two events of the environment whose live release it is to follow, with the action `retrain`: one when it
begins (outcome `begun`), one when it ends (`done`, `failed: …`). They lie with that environment's history, and reach
the ledger as deployments do; where a team shares a ledger, those of other machines are read from there. Else they
travel with what was computed, and lie beside the environments: whoever trains does not say what is live there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from mlops.config import Retrain
from mlops.declare import duration
from mlops.release import Event
from mlops.targets import history
from mlops.workspace import Workspace

ACTION = "retrain"
BEGUN, DONE, FAILED = "begun", "done", "failed"
_HANDED_ON = "retrains"

Say = Literal["go", "running", "resting", "a person"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whether one may begin: `go`, or another is `running`, it is `resting`, `a person` has to look first; and why."""

    say: Say
    why: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One retrain: when it began, by whom, and how it ended; None while nobody has said so."""

    at: datetime
    who: str
    ended: datetime | None = None
    outcome: str = ""


def known(workspace: Workspace, environment: str, family: str) -> list[Event]:
    """The events of a family in an environment that this machine has: its own, and those that were handed on to it."""
    own = history.read(workspace.environments / environment / family)
    return [*own, *history.read(_handed_on(workspace, environment, family))]


def all_known(workspace: Workspace) -> list[Event]:
    """Every retrain that this machine knows of, each once."""
    places = {
        (folder.parent.name, folder.name)
        for root in (workspace.environments, workspace.home / _HANDED_ON)
        for folder in root.glob("*/*")
        if (folder / history.EVENTS).is_file()
    }
    return [event for place in sorted(places) for event in _distinct(known(workspace, *place))]


def take(workspace: Workspace, events: Iterable[Event]) -> int:
    """Keep what another machine tells of retrains; gives how many of it was new. None of it says what is live."""
    new = 0
    for event in _distinct(events):
        names = (event.environment, event.family)
        if event.environment not in workspace.config.environments or not event.family.isidentifier():
            continue  # it is none of this project's, or leads out of the folder
        if _identity(event) not in {_identity(one) for one in known(workspace, *names) if one.action == ACTION}:
            history.append(_handed_on(workspace, *names), event)
            new += 1
    return new


def _handed_on(workspace: Workspace, environment: str, family: str) -> Path:
    return workspace.home / _HANDED_ON / environment / family


def standing(events: Iterable[Event], settings: Retrain, *, now: datetime, me: str = "") -> Standing:
    """Whether a retrain may begin at `now`, given what happened to the family in its environment.

    A retrain that `me` began and nobody ended was killed: this process is the one that would know. So was one that
    began longer ago than `longest`. Such ones have failed. After `failures` in a row a person has to say `--anyway`.
    """
    tries = [_settled(one, settings, now, me) for one in attempts(events)]
    running = next((one for one in reversed(tries) if one.ended is None), None)
    if running is not None:
        return Standing(say="running", why=f"{running.who} began one at {running.at:%Y-%m-%d %H:%M} UTC, and it runs")
    row = _failed_in_a_row(tries)
    if len(row) >= settings.failures:
        why = f"{len(row)} retrains in a row failed, the last one: {row[-1].outcome.removeprefix(f'{FAILED}: ')}"
        return Standing(say="a person", why=why)
    last = max((one.ended for one in tries if one.ended is not None), default=None)
    rest = duration(settings.cooldown)
    if last is not None and now - last < rest:
        until = f"the last one ended at {last:%Y-%m-%d %H:%M} UTC, and the cooldown is {settings.cooldown}"
        return Standing(say="resting", why=until)
    return Standing(say="go")


def attempts(events: Iterable[Event]) -> list[Attempt]:
    """The retrains among events of any kind, oldest first; an end belongs to the last beginning by the same process."""
    found: list[Attempt] = []
    for event in sorted(_distinct(events), key=lambda one: one.at):
        at = datetime.fromisoformat(event.at)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        if event.outcome == BEGUN:
            found.append(Attempt(at, event.who))
            continue
        mine = next((place for place in reversed(range(len(found))) if _open(found[place], event.who)), None)
        if mine is None:
            found.append(Attempt(at, event.who, at, event.outcome))
        else:
            found[mine] = Attempt(found[mine].at, event.who, at, event.outcome)
    return found


def _distinct(events: Iterable[Event]) -> list[Event]:
    """Retrains alone, each once, wherever they were read from."""
    mine = [event for event in events if event.action == ACTION]
    return list({_identity(event): event for event in mine}.values())


def _identity(event: Event) -> tuple[str, str, str]:
    return event.at, event.who, event.outcome


def _open(attempt: Attempt, who: str) -> bool:
    return attempt.ended is None and attempt.who == who


def _settled(one: Attempt, settings: Retrain, now: datetime, me: str) -> Attempt:
    """The attempt with its end, where it cannot be running any more."""
    longest: timedelta = duration(settings.longest)
    if one.ended is not None or (one.who != me and now - one.at < longest):
        return one
    return Attempt(one.at, one.who, one.at, f"{FAILED}: it was killed, and never came to its end")


def _failed_in_a_row(tries: Sequence[Attempt]) -> list[Attempt]:
    row: list[Attempt] = []
    for one in reversed(tries):
        if not one.outcome.startswith(FAILED):
            break
        row.append(one)
    return row[::-1]
