"""What one worker tries out beside the live release: a canary that answers a share, a shadow that answers nobody.

They are loaded in a thread of their own while the live release answers and the pointer goes on being followed: one
that hangs, or is not whole, never gets a request and never stands in the way of a rollback.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path

from mlops.errors import MlopsError
from mlops.serving.decisions import Arm
from mlops.serving.pointer import Pointer, Tried
from mlops.serving.refusal import Refused
from mlops.serving.runtime import Decided, LoadedRelease
from mlops.serving.shadow import Shadow
from mlops.serving.tally import Tally, save

_SAVE_EVERY = 0.5  # seconds

Load = Callable[[str], LoadedRelease]
Tell = Callable[[LoadedRelease, Arm, str, Decided], None]
"""Called with a release, its part in the trial, the request's id and what was answered."""


class Trying:
    """What a worker holds on trial. `canary` is the one that answers, None where there is none or it is not loaded."""

    def __init__(self, folder: Path, load: Load, tell: Tell = lambda *_: None) -> None:
        self._folder = folder
        self._load = load
        self._tell = tell
        self.canary: LoadedRelease | None = None
        self.refused: dict[str, str] = {}
        self._shadow: Shadow | None = None
        self._order = Tried(release="", trial="")
        self._tally = Tally()
        self._beside = Tally()  # the shadow's
        self._shadow_order = self._order
        self._loaded: dict[str, LoadedRelease] = {}
        self._loading: dict[str, Future[LoadedRelease]] = {}
        self._saved = 0.0

    @property
    def busy(self) -> bool:
        """Whether anything is on trial."""
        return self.canary is not None or self._shadow is not None

    @property
    def held(self) -> tuple[str, ...]:
        """The releases that are loaded for a trial."""
        return tuple(self._loaded)

    def chosen(self, live: LoadedRelease, body: bytes, request_id: str) -> LoadedRelease:
        """The canary for its share of the entities, always the same ones; of requests where there is no entity."""
        canary, order = self.canary, self._order
        if canary is None or order.share <= 0.0 or time.time() > order.until:
            return live
        return canary if lot(order.release, _key(live, body) or request_id) < order.share else live

    def told(self, release: LoadedRelease, body: bytes, decided: Decided, request_id: str) -> None:
        """Count the prediction of the first row; let the shadow be asked what the live release was asked."""
        if self.canary is not None:
            self._tally.of(release.release).told(decided.answers[0])
        if self._shadow is not None and release is not self.canary:
            self._shadow.offer(body, [dict(answer) for answer in decided.answers], request_id)

    def note(self, release: LoadedRelease, status: int, seconds: float, *, finite: bool) -> None:
        """Count how one request ended."""
        self._tally.of(release.release).note(status, seconds, finite=finite)

    def turn(self, pointer: Pointer) -> list[LoadedRelease]:
        """Let go at once of what the pointer does not name any more, and deal requests as it says from now on.

        Gives what was let go, for it may be live now.
        """
        wanted = _wanted(pointer)
        if pointer.canary is None or pointer.canary.trial != self._order.trial:
            self.canary = None
        if pointer.shadow is None or pointer.shadow.trial != self._shadow_order.trial:
            self._drop_shadow()
        self.refused = {}
        self._put_on_trial(pointer)
        return [self._loaded.pop(name) for name in list(self._loaded) if name not in wanted]

    async def follow(self, pointer: Pointer) -> bool:
        """Load what the pointer names, without waiting for it; gives whether there is news to acknowledge."""
        for release in _wanted(pointer) - {*self._loaded, *self._loading, *self.refused}:
            self._begin(release)
        news = self._taken()
        self._put_on_trial(pointer)
        if self.busy and time.monotonic() - self._saved > _SAVE_EVERY:
            self._saved = time.monotonic()
            await asyncio.to_thread(self._save)
        return bool(news)

    def await_canary(self, pointer: Pointer, seconds: float) -> None:
        """Hold the canary that answers a share, if it loads within so many seconds; for a worker that begins.

        Others answer meanwhile. Without it, this one would answer the canary's entities by the live release at first.
        """
        tried = pointer.canary
        if tried is None or tried.share <= 0.0 or time.time() > tried.until or tried.release in self._loaded:
            return
        if tried.release not in self._loading:
            self._begin(tried.release)
        wait([self._loading[tried.release]], seconds)
        self._taken()

    def stop(self) -> None:
        """End in order: the worker leaves, and did not die."""
        self._tally.left = self._beside.left = True
        self._save()
        self._drop_shadow()

    def _drop_shadow(self) -> None:
        if self._shadow is not None:
            self._shadow.stop()
            self._shadow = None

    def _begin(self, release: str) -> None:
        loading: Future[LoadedRelease] = Future()

        def load() -> None:
            try:
                loading.set_result(self._load(release))
            except BaseException as error:  # noqa: BLE001 - whatever it raises, it is refused for that
                loading.set_exception(error)

        # One that never ends must not keep the worker from ending.
        threading.Thread(target=load, name=f"load {release}", daemon=True).start()
        self._loading[release] = loading

    def _taken(self) -> tuple[str, ...]:
        """The releases that are loaded by now, or refused, and were not before."""
        done = tuple(release for release, loading in self._loading.items() if loading.done())
        for release in done:
            loading = self._loading.pop(release)
            error = loading.exception()
            if error is None:
                self._loaded[release] = loading.result()
            else:
                self.refused[release] = (
                    error.message if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}"
                )
        return done

    def _deal(self, order: Tried | None) -> None:
        if order is not None:
            if order.trial != self._order.trial:
                self._tally = Tally()
            self._order = order
            self.canary = self._loaded.get(order.release)

    def _put_on_trial(self, pointer: Pointer) -> None:
        self._deal(pointer.canary)
        shadow = pointer.shadow
        if shadow is not None and shadow.release in self._loaded and self._shadow is None:
            asked = self._loaded[shadow.release]
            self._shadow = Shadow(asked, lambda said, request_id: self._tell(asked, "shadow", request_id, said))
            self._shadow_order = shadow
            self._beside = Tally(shadow=self._shadow.compared)

    def _save(self) -> None:
        if self.canary is not None:
            save(self._folder, self._order.trial, self._tally)
        if self._shadow is not None:
            save(self._folder, self._shadow_order.trial, self._beside)


def lot(release: str, key: str) -> float:
    """A number from 0 to 1 that a key draws, always the same for one release; others draw others."""
    drawn = hashlib.blake2b(f"{release}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(drawn) / 2**64


def _key(live: LoadedRelease, body: bytes) -> str | None:
    """The entities of the first row; None where the live release has none, or cannot read the request."""
    entities = live.contract.entities
    if not entities:
        return None
    try:
        row = live.decoder.decode(body).rows[0]
    except Refused:
        return None
    return "\0".join(str(row[name]) for name in entities)


def _wanted(pointer: Pointer) -> set[str]:
    return {tried.release for tried in (pointer.canary, pointer.shadow) if tried is not None}
