"""`drill`: the proof, on a served copy, that an environment can be rolled back: how fast, and what it costs callers."""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlops.adapters import generator, load
from mlops.errors import MlopsError, NothingToDo, OutsideError, UsageError
from mlops.release import PAYLOAD, Event, folder
from mlops.serving.golden import read_golden
from mlops.serving.pointer import Pointer, read_pointer
from mlops.targets import chosen, history
from mlops.targets.orders import who
from mlops.targets.protocol import Order
from mlops.targets.scratch import Copy, served_copy
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1

COLD_SECONDS = 30.0
_BETWEEN = 0.3  # seconds of load on each release
_SERVER_FAULT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """How hard it is tried: so many times back and forth, under so many requests a second, each in so many seconds."""

    rounds: int = 5
    rate: float = 50.0
    within: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One move of the copy; `warm`: every worker held the release already."""

    before: str
    release: str
    seconds: float
    warm: bool


@dataclass(slots=True, kw_only=True)
class _Seen:
    moves: list[Move]
    problems: list[str]
    load: load.Load | None = None


def drill(
    workspace: Workspace, *, environment: str, family: str | None = None, exercise: Exercise | None = None
) -> Record:
    """What rolling a copy of the environment back and forth under load showed; facts under `moves` and `problems`.

    The environment itself is not touched; an event in its history and in the ledger tells the outcome. NothingToDo
    where there is no release to go back to; UsageError where no copy of the place can be made here.
    """
    started = time.monotonic()
    settings, target = chosen.environment(workspace, environment), chosen.local(workspace, environment)
    if settings.target != "local":
        raise UsageError(
            f"{environment} cannot be copied: its target is {settings.target}",
            next_step="roll an environment with the same target back and forth that nobody depends on",
        )
    name = chosen.family(target.families(), family, environment)
    pointer = read_pointer(target.folder / name)
    if pointer is None or pointer.previous is None:
        raise NothingToDo(
            f"{environment} has no release before the live one to go back to",
            next_step=f"drill it after the next deployment: `mlops deploy {environment}`",
        )
    how, seen = exercise or Exercise(), _Seen(moves=[], problems=[])
    with tempfile.TemporaryDirectory(prefix="drill-", dir=workspace.scratch) as place:
        try:
            with served_copy(target, name, pointer, Path(place), workers=settings.workers) as copy:
                _practise(workspace, copy, pointer, how, seen)
        except MlopsError as error:
            seen.problems.append(error.message)
    seen.problems += _slow(seen.moves, how.within)
    record = _record(environment, name, seen, time.monotonic() - started)
    _remember(workspace, environment, name, pointer, record)
    return record


def _practise(workspace: Workspace, copy: Copy, pointer: Pointer, how: Exercise, seen: _Seen) -> None:
    """Under load, once to the release before the one before, which no worker holds yet; then back and forth."""
    previous = pointer.previous or ""
    bodies = [
        msgspec.json.encode(one.request)
        for release in (pointer.live, previous)
        for one in read_golden(folder(workspace.releases, release) / PAYLOAD)
    ]
    if not bodies:
        raise OutsideError("no release has a golden request to ask", next_step="package with golden = 1 or more")
    steady = load.Steady(copy.url, bodies, rate=how.rate)
    try:
        with steady:
            time.sleep(_BETWEEN)
            there = [*pointer.older[-1:], *([previous] * how.rounds)]
            for release in there:
                seen.moves.append(_move(copy, release))
                seen.moves.append(_move(copy, pointer.live))
    finally:
        seen.load = steady.load
        seen.problems += _failures(steady.load)


def _move(copy: Copy, release: str) -> Move:
    """The move to `release`; OutsideError where another one serves afterwards."""
    before = copy.target.standing(copy.family).live or ""
    warm = copy.target.holds(copy.family, release)
    moved = copy.target.move(Order(action="rollback", family=copy.family, release=release, who="drill", reason=""))
    time.sleep(_BETWEEN)
    serving = set(copy.target.health(copy.family).serving.values())
    if serving != {release}:
        raise OutsideError(f"after the move to {release} there serves {', '.join(sorted(serving)) or 'nothing'}",
                           next_step="read the server's log")  # fmt: skip
    return Move(before=before, release=release, seconds=moved.seconds, warm=warm)


def _failures(measured: load.Load) -> list[str]:
    wrong = {
        status: n for status, n in measured.statuses.items() if status == generator.NO_ANSWER or status >= _SERVER_FAULT
    }
    if not measured.requests:
        return ["no request was sent"]
    told = ", ".join(f"{n} got {status or 'no answer'}" for status, n in sorted(wrong.items()))
    return [f"{sum(wrong.values())} of {measured.requests} requests failed: {told}"] if wrong else []


def _slow(moves: list[Move], within: float) -> list[str]:
    return [
        f"the way to {move.release}, {'warm' if move.warm else 'cold'}, took {move.seconds:.2f} s, limit {limit:g} s"
        for move in moves
        for limit in [within if move.warm else COLD_SECONDS]
        if move.seconds > limit
    ]


def _record(environment: str, family: str, seen: _Seen, seconds: float) -> Record:
    measured = seen.load
    warm = [move.seconds for move in seen.moves if move.warm]
    cold = [move.seconds for move in seen.moves if not move.warm]
    metrics = {
        "moves": float(len(seen.moves)),
        **({"warm_seconds": max(warm)} if warm else {}),
        **({"cold_seconds": max(cold)} if cold else {}),
    }
    if measured is not None and measured.requests:
        failed = sum(n for s, n in measured.statuses.items() if s == generator.NO_ANSWER or s >= _SERVER_FAULT)
        metrics |= {"requests": float(measured.requests), "failed": float(failed), "p99_ms": measured.quantile(0.99)}
    facts = {
        "environment": environment,
        "family": family,
        "moves": [asdict(move) for move in seen.moves],
        "problems": list(seen.problems),
        "passed": not seen.problems,
    }
    return Record(step="drill", subject=environment, seconds=seconds, metrics=metrics, facts=facts)


def _remember(workspace: Workspace, environment: str, family: str, pointer: Pointer, record: Record) -> None:
    """An event in the environment's own history: it moved nothing, so it is none of the family's moves."""
    measured = ", ".join(f"{name} {value:.4g}" for name, value in record.metrics.items())
    problems = record.facts["problems"]
    event = Event(
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        action="drill",
        environment=environment,
        family=family,
        to=pointer.previous or "",
        previous=pointer.live,
        who=who(workspace),
        reason=measured,
        outcome=f"failed: {problems[0]}" if problems else "done",
        seconds=round(record.seconds, 3),
    )
    with contextlib.suppress(OutsideError):  # a full disk: what was found matters more than that it cannot be noted
        history.append(workspace.environments / environment, event)
