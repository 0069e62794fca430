"""This machine as a target: a pointer file names the live release, and running workers follow it.

An order is: the release is verified whole, its features are published, the pointer is replaced atomically;
where a server runs, each worker must acknowledge and the server must be ready, else the pointer goes back.
Nothing here needs the ledger: events are kept beside the pointer until it can take them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import msgspec

from mlops.adapters import bentoserver
from mlops.contract import Contract
from mlops.errors import DeploymentFailed, MlopsError, OutsideError, RollbackFailed
from mlops.release import CONTRACT, PAYLOAD, Event
from mlops.serving.integrity import verify
from mlops.serving.pointer import POINTER, Ack, Pointer, read_acks, read_pointer, write_pointer
from mlops.stores.online import FILE as ONLINE
from mlops.stores.reading import published
from mlops.targets import history
from mlops.targets.lock import environment_lock
from mlops.targets.protocol import RETIRED, Health, Moved, Order, Prepare, Standing
from mlops.targets.servers import Server, read_server

_LOOK_EVERY = 0.02  # seconds
_BACK_SECONDS = 10.0  # for the workers to return to the old release


@dataclass(frozen=True)
class LocalTarget:
    """An environment on this machine: its folder, the folder of releases, and how long workers may take.

    `online_name` is that of the file in the folder by which services read stored features (`stores.online_file`).
    """

    folder: Path
    releases: Path
    keep: int = 5
    patience: float = 60.0
    online_name: str = ONLINE

    @property
    def environment(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def online(self) -> Path:
        """The file of its online store, or that says where it is; its services read it."""
        return self.folder / self.online_name

    def move(self, order: Order, *, prepare: Prepare | None = None) -> Moved:
        """Bring the release live. Refused when it is not whole, undone when a worker refuses it."""
        started = time.monotonic()
        family = self.folder / order.family
        with environment_lock(self.folder):
            self._remember_interrupted(family)
            old = read_pointer(family)
            with self._failures_kept(order, old, started):
                manifest = verify(self.releases / order.release)
                if old is not None and old.live == order.release and self._settled(family, old):
                    return self._moved(family, old, started, changed=False)
                if prepare is not None:
                    prepare(manifest, self.online)
                self._demand_features(order.release)
                event = self._event(order, old, "done", started)
                new = self._advance(old, order, event)
                write_pointer(family, new)
                self._confirm(family, old, new)
            with contextlib.suppress(OutsideError):  # a full disk: the pointer tells it too, and it is added later
                history.append(family, _taking(event, time.monotonic() - started))
            return self._moved(family, new, started, changed=True)

    def families(self) -> tuple[str, ...]:
        """The families of models that have had a release here."""
        return tuple(sorted(p.parent.name for p in self.folder.glob(f"*/{POINTER}")))

    def standing(self, family: str) -> Standing:
        """What is live, by the pointer; since when, by whom and why, by the event that moved it."""
        pointer = read_pointer(self.folder / family)
        if pointer is None:
            return Standing(family=family, live=None, previous=None, since="", who="", reason="")
        event = pointer.event
        return Standing(
            family=family,
            live=pointer.live,
            previous=pointer.previous,
            since=event.at if event else "",
            who=event.who if event else "",
            reason=event.reason if event else "",
        )

    def retained(self, family: str) -> tuple[str, ...]:
        """What is live, the last `keep` others that were, and what a rollback would return to."""
        pointer = read_pointer(self.folder / family)
        if pointer is None:
            return ()
        last: dict[str, str] = {}  # the newest thing that happened to each release
        for event in self.history(family):
            if event.outcome == "done":
                last.pop(event.to, None)
                last[event.to] = event.action
        newest = [release for release in reversed(last) if release != pointer.live][: self.keep]
        remembered = [*([pointer.previous] if pointer.previous else []), *reversed(pointer.older)]
        kept = [release for release in (*newest, *remembered) if last.get(release) != RETIRED]
        return tuple(dict.fromkeys([pointer.live, *kept]))

    def retire(self, family: str, release: str, *, who: str, reason: str) -> None:
        """Note that a release is not kept for a rollback any more; it is again when it is deployed again."""
        order = Order(action=RETIRED, family=family, release=release, who=who, reason=reason)
        with environment_lock(self.folder):
            event = self._event(order, read_pointer(self.folder / family), "done", time.monotonic())
            history.append(self.folder / family, event)

    def health(self, family: str) -> Health:
        """What runs, by the living workers' own word and the server's readiness."""
        acks = read_acks(self.folder / family)
        server = read_server(self.folder / family)
        return Health(
            running=bool(acks),
            ready=bool(acks) and server is not None and bentoserver.ready(server.host, server.port),
            address=server.address if server else "",
            pid=server.pid if server else None,
            serving={ack.pid: ack.serving for ack in acks},
            troubles={ack.pid: ack.error for ack in acks if not ack.ok},
        )

    def history(self, family: str) -> tuple[Event, ...]:
        """What happened, oldest first."""
        return history.read(self.folder / family)

    def _demand_features(self, release: str) -> None:
        """Refuse a release whose stored features are not online: it would answer as if nothing were known."""
        contract = msgspec.json.decode((self.releases / release / PAYLOAD / CONTRACT).read_bytes(), type=Contract)
        there = {one.view for one in published(self.online)}
        lacking = sorted({stored.view for stored in contract.stored} - there)
        if lacking:
            raise DeploymentFailed(
                f"{release} reads {', '.join(lacking)}, which {self.environment} does not have online",
                next_step=f"deploy it, which publishes them: `mlops deploy {self.environment} {release}`",
            )

    @contextmanager
    def _failures_kept(self, order: Order, old: Pointer | None, started: float) -> Iterator[None]:
        """Put a failure into the history, and raise it as what it means for this action."""
        try:
            yield
        except MlopsError as error:
            event = self._event(order, old, f"failed: {error.message}", started)
            with contextlib.suppress(OutsideError):  # what failed matters more than that it cannot be noted
                history.append(self.folder / order.family, event)
            _raise(order, error)

    def _advance(self, old: Pointer | None, order: Order, event: Event) -> Pointer:
        """The next pointer.

        After a rollback, `previous` is what was live before the release returned to: so a rollback that is run
        twice never brings the refused release back.
        """
        if old is None:
            return Pointer(live=order.release, generation=1, event=event)
        before = [*old.older, *([old.previous] if old.previous else [])]
        if order.action == "rollback" and order.release in before:
            before = before[: len(before) - 1 - before[::-1].index(order.release)]
        elif old.live != order.release:
            before = [*before, old.live]
        before = before[-self.keep :]
        return Pointer(
            live=order.release,
            previous=before[-1] if before else None,
            older=tuple(before[:-1]),
            generation=old.generation + 1,
            event=event,
        )

    def _confirm(self, family: Path, old: Pointer | None, new: Pointer) -> None:
        """Wait until every worker has taken the release over; put the old one back when one does not."""
        if not read_acks(family):
            return
        server = read_server(family)
        trouble = self._await(family, new, server, self.patience)
        if trouble is None:
            return
        if old is not None:
            back = Pointer(
                live=old.live,
                previous=old.previous,
                older=old.older,
                generation=new.generation + 1,
                event=old.event,
            )
            write_pointer(family, back)
            self._await(family, back, server, min(self.patience, _BACK_SECONDS))
        raise DeploymentFailed(
            f"{new.live} did not go live: {trouble}; {old.live if old else 'nothing'} is live",
            next_step="mend the release (`mlops check-service` boots it alone), then deploy again",
        )

    def _await(self, family: Path, pointer: Pointer, server: Server | None, seconds: float) -> str | None:
        """None when all workers serve the pointer's release and the server is ready, else what is wrong."""
        wanted = server.workers if server else 1
        deadline = time.monotonic() + seconds
        acks: tuple[Ack, ...] = ()
        while time.monotonic() < deadline:
            acks = read_acks(family)
            here = [ack for ack in acks if ack.generation == pointer.generation]
            refused = next((ack for ack in here if not ack.ok), None)
            if refused:
                return refused.error
            if len(here) == len(acks) >= wanted:
                ready = server is None or bentoserver.ready(server.host, server.port)
                return None if ready else "the server is not ready"
            time.sleep(_LOOK_EVERY)
        took = sum(ack.generation == pointer.generation for ack in acks)
        return f"{took} of {wanted} workers took it over within {seconds:g} seconds"

    def _settled(self, family: Path, pointer: Pointer) -> bool:
        return all(ack.ok and ack.generation == pointer.generation for ack in read_acks(family))

    def _moved(self, family: Path, pointer: Pointer, started: float, *, changed: bool) -> Moved:
        return Moved(
            release=pointer.live,
            previous=pointer.previous,
            changed=changed,
            workers=len(read_acks(family)),
            seconds=time.monotonic() - started,
        )

    def _event(self, order: Order, old: Pointer | None, outcome: str, started: float) -> Event:
        return Event(
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            action=order.action,
            environment=self.environment,
            family=order.family,
            to=order.release,
            previous=old.live if old else "",
            who=order.who,
            reason=order.reason,
            outcome=outcome,
            seconds=round(time.monotonic() - started, 3),
        )

    def _remember_interrupted(self, family: Path) -> None:
        """A deployer that was killed after it moved the pointer left no line in the history; the pointer tells it."""
        pointer = read_pointer(family)
        if pointer is None or pointer.event is None:
            return
        if all(event.at != pointer.event.at for event in history.read(family)):
            history.append(family, pointer.event)


def _taking(event: Event, seconds: float) -> Event:
    return replace(event, seconds=round(seconds, 3))


def _raise(order: Order, error: MlopsError) -> NoReturn:
    if order.action == "rollback":
        raise RollbackFailed(f"nothing was rolled back: {error.message}", next_step=error.next_step) from error
    raise error
