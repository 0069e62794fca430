"""Requests to a running service: a few in order, or as many as it takes for a while."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import aiohttp

_ONE_REQUEST_SECONDS = 30.0
_KEPT = 8  # connections of a steady load that are used again
NO_ANSWER = 0
"""The status of a request that got no answer: refused, reset or timed out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 and the reason as body where nothing did."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a while of load measured: answers by status, wall seconds, and each request's milliseconds, ascending."""

    statuses: Mapping[int, int]
    seconds: float
    milliseconds: tuple[float, ...]

    @property
    def requests(self) -> int:
        """How many were sent."""
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        """How many were not answered with 200."""
        return self.requests - self.statuses.get(200, 0)

    @property
    def qps(self) -> float:
        """Requests answered with 200 per second."""
        return self.statuses.get(200, 0) / self.seconds if self.seconds > 0 else 0.0

    def quantile(self, share: float) -> float:
        """The latency in ms that `share` of the requests stay within (nearest rank); NaN without a request."""
        if not self.milliseconds:
            return float("nan")
        rank = max(0, -int(-share * len(self.milliseconds) // 1) - 1)
        return self.milliseconds[min(rank, len(self.milliseconds) - 1)]


def together(loads: Sequence[Load]) -> Load:
    """Several whiles of load as one."""
    statuses: Counter[int] = Counter()
    for one in loads:
        statuses.update(one.statuses)
    took = tuple(sorted(itertools.chain.from_iterable(one.milliseconds for one in loads)))
    return Load(statuses=dict(statuses), seconds=sum(one.seconds for one in loads), milliseconds=took)


def memory(pid: int) -> float:
    """The resident memory of a process and of all that it started, in MB; NaN where the system does not tell."""
    import psutil

    try:
        process = psutil.Process(pid)
        return float(sum(one.memory_info().rss for one in (process, *process.children(recursive=True))) / 1e6)
    except psutil.Error:
        return float("nan")


def ask(url: str, bodies: Sequence[bytes], *, token: str | None = None) -> list[Answer]:
    """POST the bodies one after the other; one answer for each."""
    return asyncio.run(_ask(url, bodies, token))


def drive(url: str, bodies: Sequence[bytes], *, connections: int, seconds: float, token: str | None = None) -> Load:
    """POST the bodies over and over from `connections` kept connections, each as fast as it is answered."""
    return asyncio.run(_drive(url, bodies, connections, seconds, token))


class Steady:
    """POSTs at a steady rate from a thread of its own for as long as the block lasts; then `load` says how they fared.

    Every other request goes over a new connection, the rest over kept ones. A request is sent when it is due, whether
    or not those before it have been answered: so a server that stands still is seen to.
    """

    def __init__(self, url: str, bodies: Sequence[bytes], *, rate: float) -> None:
        self._url, self._bodies, self._rate = url, bodies, rate
        self._statuses: Counter[int] = Counter()
        self._took: list[float] = []
        self._seconds = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()), daemon=True)

    def __enter__(self) -> Self:
        """Begin to send."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send no more, and wait for the answers to what was sent."""
        self._stopping.set()
        self._thread.join()

    @property
    def load(self) -> Load:
        """What was measured; whole after the block."""
        took = tuple(sorted(self._took))
        return Load(statuses=dict(self._statuses), seconds=self._seconds, milliseconds=took)

    async def _send(self) -> None:
        started = time.perf_counter()
        async with _session(_KEPT, None) as kept, _session(0, None, keep=False) as new:
            sent: set[asyncio.Task[None]] = set()
            for number in itertools.count():
                await asyncio.sleep(max(0.0, started + number / self._rate - time.perf_counter()))
                if self._stopping.is_set():
                    break
                body = self._bodies[number % len(self._bodies)]
                task = asyncio.create_task(self._one(new if number % 2 else kept, body))
                sent.add(task)
                task.add_done_callback(sent.discard)
            await asyncio.gather(*sent)
        self._seconds = time.perf_counter() - started

    async def _one(self, session: aiohttp.ClientSession, body: bytes) -> None:
        sent = time.perf_counter()
        answer = await _post(session, self._url, body)
        self._took.append((time.perf_counter() - sent) * 1000)
        self._statuses[answer.status] += 1


async def _ask(url: str, bodies: Sequence[bytes], token: str | None) -> list[Answer]:
    async with _session(1, token) as session:
        return [await _post(session, url, body) for body in bodies]


async def _drive(url: str, bodies: Sequence[bytes], connections: int, seconds: float, token: str | None) -> Load:
    statuses: Counter[int] = Counter()
    took: list[float] = []
    started = time.perf_counter()

    async def one(first: int) -> None:
        number = first
        while time.perf_counter() - started < seconds:
            sent = time.perf_counter()
            answer = await _post(session, url, bodies[number % len(bodies)])
            took.append((time.perf_counter() - sent) * 1000)
            statuses[answer.status] += 1
            number += connections

    async with _session(connections, token) as session:
        await asyncio.gather(*(one(first) for first in range(connections)))
    return Load(statuses=dict(statuses), seconds=time.perf_counter() - started, milliseconds=tuple(sorted(took)))


def _session(connections: int, token: str | None, *, keep: bool = True) -> aiohttp.ClientSession:
    import aiohttp

    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, force_close=not keep),
        timeout=aiohttp.ClientTimeout(total=_ONE_REQUEST_SECONDS),
        headers=headers,
    )


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> Answer:
    import aiohttp

    try:
        async with session.post(url, data=body) as response:
            return Answer(response.status, await response.read())
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Answer(NO_ANSWER, f"{type(error).__name__}: {error}".encode())
