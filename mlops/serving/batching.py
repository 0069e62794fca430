"""Requests that wait while others are computed, computed together: many rows cost a DataFrame hardly more than one.

Nothing ever waits for company: a request that comes while nobody is computed is computed at once, so at one connection
there is no delay; those that come meanwhile share the next call. Each release has a thread of its own: a canary that is
slow, or hangs, holds up nobody who asks the live one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from queue import SimpleQueue

from mlops.serving.refusal import Refused
from mlops.serving.requests import Row
from mlops.serving.runtime import Decided, LoadedRelease, Tell

MOST_TOGETHER = 256
"""Rows in one shared call; a request with more is computed alone."""
MOST_WAITING = 4096
"""Requests that may wait for a release; with more the service is overloaded and says so."""
MOST_HUNG = 4
"""Computations of a release without an end, after which it is asked no more: each holds a thread of the process."""
_logger = logging.getLogger("mlops.serving")


@dataclass(frozen=True, slots=True)
class _Waiting:
    release: LoadedRelease
    rows: Sequence[Row]
    answers: asyncio.Future[Decided]


@dataclass(frozen=True, slots=True)
class _Order:
    """What a thread is to compute, and whom it tells in which loop."""

    together: Sequence[_Waiting]
    loop: asyncio.AbstractEventLoop
    told: Callable[[Sequence[_Waiting], list[Decided | Exception]], None]


class Batcher:
    """Answers requests beside the event loop, those of one release in the order they came.

    None waits longer than `seconds`. What has been computed for so long hangs: the release's next requests get another
    thread. After MOST_HUNG of those it is asked nothing more, and `worn_out` hears of it, who may end this worker.
    """

    def __init__(
        self, tell: Tell, *, seconds: float = 30.0, worn_out: Callable[[LoadedRelease], None] = lambda _: None
    ) -> None:
        self._tell = tell
        self._seconds = seconds
        self._worn_out = worn_out
        self._lanes: weakref.WeakKeyDictionary[LoadedRelease, _Lane] = weakref.WeakKeyDictionary()

    async def answer(self, release: LoadedRelease, rows: Sequence[Row]) -> Decided:
        """What `release.decide` gives for these rows; raises what it raises, and Refused (503 overloaded, 504 late)."""
        lane = self._lanes.get(release)
        if lane is None:
            lane = self._lanes[release] = _Lane(self._tell)
        if lane.hung >= MOST_HUNG:
            raise Refused(503, "the release hangs; try again later")
        if len(lane.waiting) >= MOST_WAITING:
            raise Refused(503, f"{MOST_WAITING} requests are waiting already; try again later")
        answers: asyncio.Future[Decided] = asyncio.get_running_loop().create_future()
        lane.take(_Waiting(release, rows, answers))
        try:
            async with asyncio.timeout(self._seconds) as limit:
                return await answers
        except TimeoutError:
            if not limit.expired():  # the release's own
                raise
            self._give_up(release, lane)
            raise Refused(504, f"there was no answer within {self._seconds:g} seconds; try again") from None

    def _give_up(self, release: LoadedRelease, lane: _Lane) -> None:
        """Go on without what hangs, where it is that and not only too many requests."""
        if self._lanes.get(release) is not lane or lane.busy_seconds < 0.9 * self._seconds:
            return
        _logger.error("%s hangs for %g seconds; its next requests do not wait for it", release.release, self._seconds)
        self._lanes[release] = fresh = lane.succeeded()
        if fresh.hung == MOST_HUNG:
            _logger.error("%s hangs again and again, and is asked no more", release.release)
            self._worn_out(release)


class _Lane:
    """Those that wait for one release, and the thread that computes them; it ends with the lane, or with the process.

    It knows no release but those of who waits, so that a release that was let go of is gone.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.hung = 0  # computations of the lanes before it
        self.waiting: deque[_Waiting] = deque()
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._since: float | None = None
        threading.Thread(target=_compute, args=(self._orders, tell), name="predict", daemon=True).start()
        weakref.finalize(self, self._orders.put, None)

    @property
    def busy_seconds(self) -> float:
        """How long it has been computing what it computes now."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def take(self, one: _Waiting) -> None:
        """Let it be computed, now or when its turn comes."""
        self.waiting.append(one)
        if self._since is None:
            self._next()

    def succeeded(self) -> _Lane:
        """A new lane for those that wait here; this one ends when what it computes does."""
        fresh = _Lane(self._tell)
        fresh.hung = self.hung + 1
        fresh.waiting, self.waiting = self.waiting, deque()
        fresh._next()
        return fresh

    def _next(self) -> None:
        together = _together(self.waiting)
        self._since = time.monotonic() if together else None
        if together:
            self._orders.put(_Order(together, asyncio.get_running_loop(), self._deliver))

    def _deliver(self, together: Sequence[_Waiting], outcomes: list[Decided | Exception]) -> None:
        self._next()  # first, so that the thread works while the answers are written
        for one, outcome in zip(together, outcomes, strict=True):
            if one.answers.done():  # whoever asked has gone
                continue
            if isinstance(outcome, Exception):
                one.answers.set_exception(outcome)
            else:
                one.answers.set_result(outcome)


def _compute(orders: SimpleQueue[_Order | None], tell: Tell) -> None:
    """Compute one order after the other; between them nothing is held."""
    while (order := orders.get()) is not None:
        outcomes = _computed(order.together, tell)
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
            order.loop.call_soon_threadsafe(order.told, order.together, outcomes)
        del order, outcomes


def _together(waiting: deque[_Waiting]) -> list[_Waiting]:
    """The first of those that wait, and as many behind it as ask the same release and fit into one call."""
    taken: list[_Waiting] = []
    rows = 0
    while waiting and (
        not taken or (waiting[0].release is taken[0].release and rows + len(waiting[0].rows) <= MOST_TOGETHER)
    ):
        one = waiting.popleft()
        if not one.answers.done():
            taken.append(one)
            rows += len(one.rows)
    return taken


def _computed(together: Sequence[_Waiting], tell: Tell) -> list[Decided | Exception]:
    """For each its answers, or why it has none; what fails together is computed one by one, to spoil no other."""
    release = together[0].release
    try:
        decided = release.decide([row for one in together for row in one.rows], None, tell)
    except Exception as error:  # noqa: BLE001  # given to whoever asked
        if len(together) == 1:
            return [error]
        return [_alone(release, one.rows) for one in together]
    ends = list(accumulate(len(one.rows) for one in together))
    starts = [0, *ends[:-1]]
    return [Decided(decided.answers[s:e], decided.table, s) for s, e in zip(starts, ends, strict=True)]


def _alone(release: LoadedRelease, rows: Sequence[Row]) -> Decided | Exception:
    try:
        return release.decide(rows)
    except Exception as error:  # noqa: BLE001  # as above
        return error
