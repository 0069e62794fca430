"""Whether a family may be trained anew for a reason, by what has happened before: computed from events, edited by none.

A retrain is two events of the environment whose live release it is to follow, with the action `retrain`: one when it
begins (outcome `begun`), one when it ends (`done`, `failed: …`). They lie with that environment's history, travel with
it, and reach the ledger as deployments do; where a team shares a ledger, those of other machines are read from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from mlops.config import Retrain
from mlops.declare import duration
from mlops.release import Event

ACTION = "retrain"
BEGUN, DONE, FAILED = "begun", "done", "failed"

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
    return list({(event.at, event.who, event.outcome): event for event in mine}.values())


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
