"""A release on trial in an environment of this machine: how it begins, gets its share and ends, whoever dies meanwhile.

Its journal lies beside the pointer. Whoever judges the trial holds a lock for as long as it lives; a journal without
that lock is one whose judge died (or that is held), and the next deployment or rollback ends it, or goes on with it.
Workers ask a canary only until the time that the pointer names, which its judge puts off as long as it lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace as with_

from mlops.adapters.files import write_atomically
from mlops.adapters.lock import locked
from mlops.errors import DeploymentFailed, NothingToDo
from mlops.release import Event, Manifest
from mlops.serving.pointer import Ack, Pointer, Tried, read_acks, read_pointer, write_pointer
from mlops.serving.tally import TALLIES
from mlops.targets import history
from mlops.targets.local import LocalTarget
from mlops.targets.lock import environment_lock
from mlops.targets.protocol import Moved, Order, Prepare
from mlops.targets.servers import read_server

Kind = Literal["canary", "shadow", "experiment"]
JUDGED: tuple[Kind, ...] = ("canary", "shadow")
"""Those that a process judges from beginning to end."""
KINDS: tuple[Kind, ...] = (*JUDGED, "experiment")
"""An experiment answers as a canary does; it runs for days, and is judged at looks."""
ENDED = "ended"

_LOOK_EVERY = 0.05  # seconds
_FOLLOW_SECONDS = 5.0  # for workers to follow the end of a trial; one that is dead or stuck is not waited for


class _Over(Exception):
    """The pointer does not bear the trial any more."""


class Journal(Struct, frozen=True, kw_only=True):
    """What is known of a trial: what was asked, and what the judge has seen (`seen`, in the judge's own words).

    `seconds` is how long it is to be watched, `requests` how many of the canary's are enough, `spent` how long it has
    been watched. `held` says why it was left undecided. `design` is what an experiment is to tell, in its own words.
    """

    kind: Kind
    trial: str
    environment: str
    family: str
    release: str
    live: str
    share: float
    seconds: float
    requests: int | None
    since: str
    who: str
    reason: str
    spent: float = 0.0
    held: str = ""
    seen: msgspec.Raw = msgspec.Raw(b"null")
    design: msgspec.Raw = msgspec.Raw(b"null")
    decided: Event | None = None


def read_journal(folder: Path, kind: Kind) -> Journal | None:
    """The trial of a family that has not ended in order; None where there is none."""
    try:
        return msgspec.json.decode((folder / f"{kind}.json").read_bytes(), type=Journal)
    except FileNotFoundError:
        return None


def keep(folder: Path, journal: Journal) -> None:
    """Write the journal durably."""
    write_atomically(folder / f"{journal.kind}.json", msgspec.json.encode(journal))


def judge_of(folder: Path, kind: Kind) -> int | None:
    """The process that judges a family's trial; None where nobody does."""
    try:
        handle = os.open(_lock(folder, kind), os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(handle, 32, 0) or b"0")
    else:
        return None
    finally:
        os.close(handle)


@contextlib.contextmanager
def judging(folder: Path, kind: Kind) -> Iterator[None]:
    """Be the one who judges; OutsideError where another process does."""
    with locked(_lock(folder, kind), f"a {kind} is being judged", seconds=0.5):
        yield


def demand_comparison(target: LocalTarget, family: str, release: str, kind: Kind) -> Pointer:
    """The pointer to the live release that a trial is compared with; NothingToDo without one, or without a server."""
    pointer = read_pointer(target.folder / family)
    step = f"deploy it without: `mlops deploy {target.environment} {release}`"
    if pointer is None:
        raise NothingToDo(f"nothing is live that a {kind} could be compared with", next_step=step)
    if not read_acks(target.folder / family):
        raise NothingToDo(
            f"no server runs in {target.environment}, so nothing would ask a {kind}",
            next_step=f"start it (`mlops serve {target.environment}`), or {step}",
        )
    return pointer


def begin(target: LocalTarget, journal: Journal, prepare: Prepare | None) -> str | None:
    """Let every worker load the release, without a request; gives why one cannot, None when all hold it.

    NothingToDo where nothing is live or no server runs, for then nothing could be compared; DeploymentFailed where
    somebody moved the environment meanwhile.
    """
    family = target.folder / journal.family
    demand_comparison(target, journal.family, journal.release, journal.kind)
    manifest = target.verified(journal.release)
    target.demand_shared(journal.live, journal.release)
    with environment_lock(target.folder):
        keep(family, journal)
        if prepare is not None:
            prepare(manifest, target.online)
        target.demand_features(journal.release)
    try:
        # Not under the lock: a rollback must not wait for a canary that hangs.
        target.rehearse(family, journal.release)
    except DeploymentFailed as error:
        return error.message
    with environment_lock(target.folder):
        pointer = demand_comparison(target, journal.family, journal.release, journal.kind)
        _demand_unmoved(target, journal, pointer)
        target.demand_features(journal.release)
        new = _pointing(pointer, journal, Tried(release=journal.release, trial=journal.trial))
        write_pointer(family, new)
    # Not under the lock either.
    return _await_held(family, new, journal, target.patience)


def _demand_unmoved(target: LocalTarget, journal: Journal, pointer: Pointer) -> None:
    """DeploymentFailed where the trial that is to begin was ended, or is beside another release than was meant."""
    known = read_journal(target.folder / journal.family, journal.kind)
    step = f"look who: `mlops status {target.environment}`; then try it again"
    if pointer.live != journal.live:
        raise DeploymentFailed(
            f"somebody brought {pointer.live} live meanwhile; it was to be compared with {journal.live}", next_step=step
        )
    if known is None or known.trial != journal.trial or known.decided is not None:
        raise DeploymentFailed(f"somebody ended the {journal.kind} before it began", next_step=step)


def ask(target: LocalTarget, journal: Journal, *, seconds: float) -> Journal | None:
    """Give the canary its share for so long, or longer when asked again; None when somebody has ended the trial.

    The first time, workers have been waited for: from then on requests are dealt out.
    """
    family = target.folder / journal.family
    with environment_lock(target.folder):
        pointer = read_pointer(family)
        if pointer is None or not on_trial(pointer, journal):
            return None
        asked = Tried(release=journal.release, trial=journal.trial, share=journal.share, until=time.time() + seconds)
        asking = with_(journal, held="")
        keep(family, asking)
        new = _pointing(pointer, journal, asked)
        write_pointer(family, new)
    if pointer.canary is not None and pointer.canary.share <= 0.0:
        _await_followed(family, new)  # not under the lock: a rollback need not wait
    return asking


def hold(target: LocalTarget, journal: Journal, why: str, evidence: tuple[str, ...]) -> None:
    """Ask the canary nothing more, and keep it loaded with all that was seen, for `--resume`."""
    family = target.folder / journal.family
    with environment_lock(target.folder):
        pointer = read_pointer(family)
        if pointer is None or not on_trial(pointer, journal):
            return
        keep(family, with_(journal, held=why))
        _point(family, _pointing(pointer, journal, Tried(release=journal.release, trial=journal.trial)))
        history.append(family, event_of(journal, f"held: {why}", evidence))


def end(target: LocalTarget, journal: Journal, outcome: str, evidence: tuple[str, ...] = ()) -> None:
    """End the trial at once, and note how; killed in between, the next one who comes finishes it."""
    with environment_lock(target.folder):
        _end(target.folder / journal.family, journal, outcome, evidence)


def promote(target: LocalTarget, journal: Journal, order: Order, evidence: tuple[str, ...]) -> Moved | None:
    """Bring the canary live, as every worker holds it; None when somebody has ended the trial meanwhile."""
    family = target.folder / journal.family

    def still(_: Manifest, __: Path) -> None:
        """Asked under the lock: who rolled back while we waited for it does not get the release after all."""
        pointer = read_pointer(family)
        if pointer is None or not on_trial(pointer, journal):
            raise _Over

    try:
        moved = target.move(order, prepare=still)
    except _Over:
        return None
    with environment_lock(target.folder):
        _end(family, journal, "done", evidence)
    return moved


def keep_if_on(target: LocalTarget, journal: Journal) -> None:
    """Write what was seen, unless somebody has ended the trial meanwhile."""
    with environment_lock(target.folder):
        known = read_journal(target.folder / journal.family, journal.kind)
        if known is not None and known.trial == journal.trial and known.decided is None:
            keep(target.folder / journal.family, journal)


def halt(target: LocalTarget, family: str, who: str) -> tuple[Journal, ...]:
    """End what is on trial, whoever judges it, because `who` rolls back; gives what was ended."""
    folder = target.folder / family
    with environment_lock(target.folder):
        found = [journal for kind in KINDS if (journal := read_journal(folder, kind)) is not None]
        for journal in found:
            _end(folder, journal, f"{ENDED}: {who} rolled back", ())
        _forget_the_lost(folder)
    return tuple(found)


def mend(target: LocalTarget, family: str) -> tuple[str, ...]:
    """End trials that nobody judges any more; a sentence for each. DeploymentFailed where one is being judged."""
    folder, told = target.folder / family, []
    with environment_lock(target.folder):
        for kind in KINDS:
            journal = read_journal(folder, kind)
            if journal is None:
                continue
            if kind == "experiment":
                raise DeploymentFailed(
                    f"an experiment with {journal.release} is running in {target.environment} since {journal.since}",
                    next_step=f"wait for its end, or end it: `mlops experiment stop {target.environment}`",
                )
            judge = judge_of(folder, kind)
            if judge is not None:
                raise DeploymentFailed(
                    f"the {kind} {journal.release} is being judged in {target.environment} by process {judge}",
                    next_step=f"wait for its verdict, or end it at once: `mlops rollback {target.environment}`",
                )
            how = f"it was held ({journal.held})" if journal.held else "its deployer died"
            _end(folder, journal, f"{ENDED}: {how}, and another deployment began", ())
            told.append(f"the {kind} {journal.release} was ended: {how}")
        _forget_the_lost(folder)
    return tuple(told)


def on_trial(pointer: Pointer, journal: Journal) -> bool:
    """Whether the pointer bears this very trial."""
    tried = pointer.shadow if journal.kind == "shadow" else pointer.canary
    return tried is not None and tried.trial == journal.trial


def died(folder: Path, tallied: dict[str, int]) -> int:
    """How many of the workers that have counted, by their process ids, are not there any more."""
    alive = {ack.pid for ack in read_acks(folder)}
    return sum(pid not in alive for pid in tallied.values())


def event_of(journal: Journal, outcome: str, evidence: tuple[str, ...]) -> Event:
    """What is noted of a trial."""
    return Event(
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        action=journal.kind,
        environment=journal.environment,
        family=journal.family,
        to=journal.release,
        previous=journal.live,
        who=journal.who,
        reason=journal.reason,
        outcome=outcome,
        seconds=round(time.time() - datetime.fromisoformat(journal.since).timestamp(), 3),
        evidence=evidence,
    )


def _end(folder: Path, journal: Journal, outcome: str, evidence: tuple[str, ...]) -> None:
    known = read_journal(folder, journal.kind)
    if known is None or known.trial != journal.trial:
        return  # whoever ended it has noted how
    pointer = read_pointer(folder)
    taken = pointer is not None and pointer.live == journal.release and not on_trial(pointer, journal)
    event = known.decided or event_of(journal, "done" if taken else outcome, evidence)
    keep(folder, with_(journal, decided=event))  # from here on the end is known, whatever dies
    if pointer is not None and on_trial(pointer, journal):
        _point(folder, _pointing(pointer, journal, None))
    if all((one.at, one.action) != (event.at, event.action) for one in history.read(folder)):
        history.append(folder, event)
    shutil.rmtree(folder / TALLIES / journal.trial, ignore_errors=True)
    (folder / f"{journal.kind}.json").unlink(missing_ok=True)


def _forget_the_lost(folder: Path) -> None:
    """Take what has no journal off the pointer: nobody can judge it."""
    pointer = read_pointer(folder)
    if pointer is not None and (pointer.canary or pointer.shadow):
        kept = {kind: read_journal(folder, kind) is not None for kind in KINDS}
        canary = pointer.canary if kept["canary"] or kept["experiment"] else None
        shadow = pointer.shadow if kept["shadow"] else None
        if (canary, shadow) != (pointer.canary, pointer.shadow):
            write_pointer(folder, with_(pointer, canary=canary, shadow=shadow, generation=pointer.generation + 1))


def _pointing(pointer: Pointer, journal: Journal, tried: Tried | None) -> Pointer:
    generation = pointer.generation + 1
    if journal.kind == "shadow":
        return with_(pointer, shadow=tried, generation=generation)
    return with_(pointer, canary=tried, generation=generation)


def _point(folder: Path, pointer: Pointer) -> None:
    """Write the pointer, and wait a while until every worker has followed: whoever ends a trial wants it ended."""
    write_pointer(folder, pointer)
    _await_followed(folder, pointer)


def _await_followed(folder: Path, pointer: Pointer) -> None:
    deadline = time.monotonic() + _FOLLOW_SECONDS
    while time.monotonic() < deadline and any(ack.generation < pointer.generation for ack in read_acks(folder)):
        time.sleep(_LOOK_EVERY)


def _await_held(family: Path, pointer: Pointer, journal: Journal, seconds: float) -> str | None:
    """None when all workers hold the release, else what is wrong."""
    server = read_server(family)
    wanted, deadline = server.workers if server else 1, time.monotonic() + seconds
    acks: tuple[Ack, ...] = ()
    while time.monotonic() < deadline:
        acks = read_acks(family)
        here = [ack for ack in acks if ack.generation >= pointer.generation]
        refused = next((ack.refused[journal.release] for ack in here if journal.release in ack.refused), None)
        if refused:
            return refused
        if len(acks) >= wanted and all(journal.release in ack.trying for ack in acks) and len(here) == len(acks):
            return None
        time.sleep(_LOOK_EVERY)
    holding = sum(journal.release in ack.trying for ack in acks)
    return f"{holding} of {wanted} workers held it within {seconds:g} seconds"


def _lock(folder: Path, kind: Kind) -> Path:
    return folder / f".{kind}.lock"
