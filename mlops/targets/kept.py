"""What every place that runs releases keeps on this side: the pointer, the history, and one order at a time.

An order is: the release is verified whole, its features are published, it is brought live, which each place does
in its own way; what does not come live leaves the pointer on the old release.
Nothing here needs the ledger: events are kept beside the pointer until it can take them.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import msgspec

from mlops.contract import Contract
from mlops.errors import DeploymentFailed, MlopsError, OutsideError, RollbackFailed
from mlops.release import CONTRACT, PAYLOAD, Event, Manifest
from mlops.serving.integrity import verify
from mlops.serving.pointer import POINTER, Pointer, read_pointer
from mlops.signatures import Demand
from mlops.stores.online import FILE as ONLINE
from mlops.stores.reading import published
from mlops.targets import history
from mlops.targets.lock import environment_lock
from mlops.targets.protocol import MOVES, RETIRED, Moved, Order, Prepare, Standing


@dataclass(frozen=True)
class KeptTarget(ABC):
    """An environment's folder and the folder of releases; who inherits says how a release comes live.

    `signed` refuses a release without the signature that the environment demands. `online_name` is that of the file in
    the folder by which services read stored features (`stores.online_file`).
    """

    folder: Path
    releases: Path
    keep: int = 5
    online_name: str = ONLINE
    signed: Demand | None = field(default=None, kw_only=True)

    @abstractmethod
    def _bring(self, family: Path, old: Pointer | None, new: Pointer) -> None:
        """Bring the release of `new` live and write that pointer, or leave the old one live and raise."""

    @abstractmethod
    def _settled(self, family: Path, pointer: Pointer) -> bool:
        """Whether what the pointer names is surely what serves, so that the same order again has nothing to do."""

    def _workers(self, family: Path) -> int | None:  # noqa: ARG002 - a place that does not know its workers
        return None

    @property
    def environment(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def online(self) -> Path:
        """The file of its online store, or that says where it is; its services read it."""
        return self.folder / self.online_name

    def move(self, order: Order, *, prepare: Prepare | None = None) -> Moved:
        """Bring the release live. Refused when it is not whole, undone when the place does not take it."""
        started = time.monotonic()
        family = self.folder / order.family
        with environment_lock(self.folder):
            self._remember_interrupted(family)
            old = read_pointer(family)
            with self._failures_kept(order, old, started):
                manifest = self.verified(order.release)
                if old is not None and old.live == order.release and not old.tries and self._settled(family, old):
                    return self._moved(family, old, started, changed=False)
                if prepare is not None:
                    prepare(manifest, self.online)
                self.demand_features(order.release)
                event = self._event(order, old, "done", started)
                new = self._advance(old, order, event)
                self._bring(family, old, new)
            with contextlib.suppress(OutsideError):  # a full disk: the pointer tells it too, and it is added later
                history.append(family, _taking(event, time.monotonic() - started))
            return self._moved(family, new, started, changed=True)

    def preview(self, order: Order) -> str:
        """Which release would be live in place of which; the release is verified, and nothing moves."""
        standing = self.standing(order.family)
        self._whole(order)
        if standing.live == order.release:
            return f"{order.release} is live in {self.environment} already"
        return f"{order.release} would be live in {self.environment} (now: {standing.live or 'nothing'})"

    def _whole(self, order: Order) -> Manifest:
        """The manifest of a release that is byte for byte what was accepted; raises what the order means by it."""
        try:
            return self.verified(order.release)
        except MlopsError as error:
            _raise(order, error)

    def verified(self, release: str) -> Manifest:
        """The manifest of a release that is byte for byte what was accepted, and signed where that is demanded."""
        manifest = verify(self.releases / release)
        if self.signed is not None:
            self.signed(self.releases / release)
        return manifest

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
        """What is live or on trial, the last `keep` others that were live, and what a rollback would return to."""
        pointer = read_pointer(self.folder / family)
        if pointer is None:
            return ()
        last: dict[str, str] = {}  # the newest thing that happened to each release
        for event in self.history(family):
            if event.outcome == "done" and event.action in (*MOVES, RETIRED):
                last.pop(event.to, None)
                last[event.to] = event.action
        newest = [release for release in reversed(last) if release != pointer.live][: self.keep]
        remembered = [*([pointer.previous] if pointer.previous else []), *reversed(pointer.older)]
        kept = [release for release in (*newest, *remembered) if last.get(release) != RETIRED]
        tried = [one.release for one in (pointer.canary, pointer.shadow) if one is not None]
        return tuple(dict.fromkeys([pointer.live, *tried, *kept]))

    def retire(self, family: str, release: str, *, who: str, reason: str) -> None:
        """Note that a release is not kept for a rollback any more; it is again when it is deployed again."""
        order = Order(action=RETIRED, family=family, release=release, who=who, reason=reason)
        with environment_lock(self.folder):
            event = self._event(order, read_pointer(self.folder / family), "done", time.monotonic())
            history.append(self.folder / family, event)

    def history(self, family: str) -> tuple[Event, ...]:
        """What happened, oldest first."""
        return history.read(self.folder / family)

    def demand_features(self, release: str) -> None:
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

    def _moved(self, family: Path, pointer: Pointer, started: float, *, changed: bool) -> Moved:
        return Moved(
            release=pointer.live,
            previous=pointer.previous,
            changed=changed,
            workers=self._workers(family),
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
    if order.action == "rollback" and not isinstance(error, RollbackFailed):
        raise RollbackFailed(f"nothing was rolled back: {error.message}", next_step=error.next_step) from error
    raise error
