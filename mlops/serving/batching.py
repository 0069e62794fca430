"""Requests that wait while others are computed, computed together: many rows cost a DataFrame hardly more than one.

Nothing ever waits for company: a request that comes while nobody is computed is computed at once, so at one connection
there is no delay; those that come meanwhile share the next call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate

from mlops.serving.refusal import Refused
from mlops.serving.requests import Row
from mlops.serving.runtime import Decided, LoadedRelease, Tell

MOST_TOGETHER = 256
"""Rows in one shared call; a request with more is computed alone."""
MOST_WAITING = 4096
"""Requests that may wait; with more the service is overloaded and says so."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    release: LoadedRelease
    rows: Sequence[Row]
    answers: asyncio.Future[Decided]


class Batcher:
    """Answers requests beside the event loop, in one thread, in the order they came."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self._waiting: deque[_Waiting] = deque()
        self._computing = False

    async def answer(self, release: LoadedRelease, rows: Sequence[Row]) -> Decided:
        """What `release.decide` gives for these rows; raises what it raises, and Refused (503) if overloaded."""
        if len(self._waiting) >= MOST_WAITING:
            raise Refused(503, f"{MOST_WAITING} requests are waiting already; try again later")
        answers: asyncio.Future[Decided] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(release, rows, answers))
        if not self._computing:
            self._next()
        return await answers

    def _next(self) -> None:
        together = _together(self._waiting)
        self._computing = bool(together)
        if together:
            loop = asyncio.get_running_loop()
            done = loop.run_in_executor(self._thread, _computed, together, self._tell)
            done.add_done_callback(lambda outcomes: self._deliver(together, outcomes))

    def _deliver(self, together: Sequence[_Waiting], outcomes: asyncio.Future[list[Decided | Exception]]) -> None:
        self._next()  # first, so that the thread works while the answers are written
        for one, outcome in zip(together, outcomes.result(), strict=True):
            if one.answers.done():  # whoever asked has gone
                continue
            if isinstance(outcome, Exception):
                one.answers.set_exception(outcome)
            else:
                one.answers.set_result(outcome)


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
