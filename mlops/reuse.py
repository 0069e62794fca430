"""What has been computed already: this machine's index is asked first, then the team's store, for one key at a time.

Where two runs want the same key at once, one computes it and the other waits for it: on one machine by a lock that dies
with its holder, across a team's machines by a claim in its store, which goes stale when its holder is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

from mlops.adapters.claims import Claims
from mlops.adapters.index import Entry, Index
from mlops.adapters.ledger_opening import tracking_uri
from mlops.adapters.lock import alone
from mlops.adapters.objects import ObjectStore
from mlops.adapters.shared import Kept, SharedStore, opened
from mlops.errors import OutsideError
from mlops.verdict import Record
from mlops.workspace import Workspace


class Reuse:
    """One run's view of what is known; `close` it, so that what was computed has reached the team's store."""

    def __init__(
        self,
        index: Index,
        objects: ObjectStore,
        *,
        shared: Callable[[], SharedStore | None] = lambda: None,
        anew: frozenset[str] = frozenset(),
    ) -> None:
        """Ready; `shared` opens the team's store when it is first needed, `anew` are steps that are not reused."""
        self._index, self._objects = index, objects
        self._open, self._opened, self._opening = shared, False, Lock()
        self._shared: SharedStore | None = None
        self._anew = anew
        self._uploads = ThreadPoolExecutor(1, thread_name_prefix="shared")
        self._pending: list[Future[None]] = []
        self._troubles: list[str] = []
        self._closed = False

    def find(self, key: str, step: str, still: Callable[[Record], bool]) -> Record | None:
        """The record of a key with all its outputs on this machine, or None.

        `still` says whether a record is as good as it was; one that is not, or whose outputs are gone, is forgotten.
        """
        if not key or step in self._anew:
            return None
        record = self._index.find(key)
        if record is not None:
            if all(map(self._objects.has, record.outputs.values())) and still(record):
                return record
            self._index.forget(key)
        return self._brought(key, still)

    def elsewhere(self, key: str) -> tuple[Record, str] | None:
        """The record of a key that the team's store has, and the store's address; nothing of it is brought here."""
        shared = self._team()
        if shared is None:
            return None
        try:
            kept = shared.find(key)
        except OutsideError as error:
            self._lose(error)
            return None
        return None if kept is None else (kept.entry.record, shared.place.url)

    def touch(self, key: str) -> None:
        """Say that a record was used now, so that it is the latest of its step."""
        self._index.touch(key)

    def keep(self, record: Record, ingredients: Mapping[str, Any]) -> None:
        """Remember a record whose outputs are durable; the team's store gets it behind the run."""
        if self._anew:
            self._index.forget(record.key)
        self._index.add(record, ingredients)
        shared = self._team()
        if shared is not None:
            entry = Entry(record=record, ingredients=ingredients, fork=self._index.fork)
            self._behind(self._safely, shared.keep, entry, self._objects)

    def publish(self, release: str, manifest: bytes) -> None:
        """Let other machines find a release by its name, behind the run."""
        shared = self._team()
        if shared is not None:
            self._behind(self._safely, shared.publish, release, manifest)

    def forget_all_with(self, digest: str) -> None:
        """Forget every record that needs this object, so that it is computed anew."""
        for entry in self._index.entries():
            outputs = [one for one in entry.record.outputs.values() if self._objects.has(one)]
            named = {name for one in outputs for name in self._objects.names(one)}
            if digest in named or digest in entry.record.outputs.values():
                self._index.forget(entry.record.key)

    @contextmanager
    def alone(self, key: str, step: str, waiting: Callable[[str], None] = lambda _: None) -> Iterator[bool]:
        """Nobody else computes the key meanwhile, as far as that can be had; gives whether somebody may have until now.

        `waiting` is told who does.
        """
        if not key:
            yield False
            return
        lock = self._objects.root.parent / "locks" / f"{key}.lock"
        with alone(lock, lambda: waiting("another run on this machine")) as waited:
            claims = self._claims(step)
            if claims is None:
                yield waited
                return
            claims.take(key, lambda: self._is_there(key), waiting)
            if self._closed:
                raise OutsideError("the run has ended while it waited", next_step="run again")
            try:
                yield True
            finally:  # when what was computed has reached the store, so that who waits finds it
                self._behind(claims.release, key)

    def close(self) -> tuple[str, ...]:
        """Wait for the team's store; gives what went wrong with it, which stops no run."""
        self._closed = True
        if self._shared is not None:
            self._shared.claims.stop_waiting()
        try:
            for future in self._pending:
                future.result()
        finally:
            self._uploads.shutdown(wait=True, cancel_futures=True)
            if self._shared is not None:
                self._shared.claims.close()
        return tuple(dict.fromkeys(self._troubles))

    def _brought(self, key: str, still: Callable[[Record], bool]) -> Record | None:
        shared = self._team()
        if shared is None:
            return None
        try:
            kept = shared.find(key)
            if kept is None or not still(kept.entry.record):
                return None
            if not shared.bring(kept, self._objects, self._objects.root.parent / "scratch"):
                return None
        except OutsideError as error:
            self._lose(error)
            return None
        self._index.take([kept.entry])
        self._behind(self._touched, shared, kept)
        return kept.entry.record

    def _behind(self, action: Callable[..., None], *given: Any) -> None:
        """Do it after what is being uploaded; at once where the run has been closed."""
        if self._closed:
            action(*given)
        else:
            self._pending.append(self._uploads.submit(action, *given))

    def _claims(self, step: str) -> Claims | None:
        """Where keys are claimed: in the team's store, but for no step that is wanted anew, and not by a fork's run."""
        shared = None if step in self._anew or self._index.fork else self._team()
        return None if shared is None else shared.claims

    def _is_there(self, key: str) -> bool:
        shared = self._team()
        return shared is not None and shared.find(key) is not None

    def _team(self) -> SharedStore | None:
        with self._opening:
            if not self._opened:
                self._opened = True
                try:
                    self._shared = self._open()
                except OutsideError as error:
                    self._troubles.append(error.message)
            return self._shared

    def _touched(self, shared: SharedStore, kept: Kept) -> None:
        """Whoever may only read leaves no trace."""
        with suppress(OutsideError):
            shared.touch(kept)

    def _safely(self, action: Callable[..., None], *given: Any) -> None:
        """Put something into the team's store, as long as that takes it."""
        try:
            if self._shared is not None:
                action(*given)
        except OutsideError as error:
            self._lose(error)

    def _lose(self, error: OutsideError) -> None:
        """Go on without the team's store: it saves time, and nothing else."""
        self._troubles.append(error.message)
        self._shared = None


def team(workspace: Workspace, who: str) -> SharedStore | None:
    """The team's store of a project, opened; None where there is none. `who` is told to those who wait for this run."""
    config = workspace.config
    return opened(config.shared_store, tracking_uri(workspace.home), config.name, who)
