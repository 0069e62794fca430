"""Requests to a running service: a few in order, or as many as it takes for a while."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from mlops.adapters import generator
from mlops.errors import OutsideError

if TYPE_CHECKING:
    import aiohttp

_KEPT = 8  # connections of a steady load that are used again


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 and the reason as body where nothing did."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """Where a load goes, and the bodies that it is made of."""

    url: str
    bodies: Sequence[bytes]
    token: str | None = None


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


def drive(asked: Sequence[Asked], *, connections: int, seconds: float, rounds: int = 1) -> tuple[list[Load], ...]:
    """POST over and over from `connections` kept connections, each as fast as it is answered; a load per round.

    Of several servers each has `seconds` in every round, in turn. The requests come from a process of its own
    (`adapters.generator`); OutsideError where that fails.
    """
    turns = [
        {
            "host": urlsplit(one.url).hostname,
            "port": urlsplit(one.url).port,
            "seconds": seconds,
            "requests": [_request(one, body).decode("latin-1") for body in one.bodies],
        }
        for one in asked
    ]
    # -P: the folder that one stands in must not lend its modules to the generator.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mlops.adapters.generator"],
        input=json.dumps({"connections": connections, "turns": turns * rounds}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise OutsideError(
            f"the load could not be sent: {said[-1] if said else f'it ended with code {done.returncode}'}",
            next_step="run again; if it fails again, it is a fault of mlops",
        )
    loads = [_told(json.loads(line)) for line in done.stdout.splitlines()]
    return tuple(loads[at :: len(asked)] for at in range(len(asked)))


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


def _request(asked: Asked, body: bytes) -> bytes:
    """One whole HTTP request."""
    url = urlsplit(asked.url)
    lines = [f"POST {url.path or '/'} HTTP/1.1", f"Host: {url.netloc}", "Content-Type: application/json"]
    lines += [f"Authorization: Bearer {asked.token}"] if asked.token else []
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def _told(turn: dict[str, Any]) -> Load:
    statuses = {int(status): count for status, count in turn["statuses"].items()}
    return Load(statuses=statuses, seconds=turn["seconds"], milliseconds=tuple(sorted(turn["milliseconds"])))


def _session(connections: int, token: str | None, *, keep: bool = True) -> aiohttp.ClientSession:
    import aiohttp

    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, force_close=not keep),
        timeout=aiohttp.ClientTimeout(total=generator.PATIENCE),
        headers=headers,
    )


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> Answer:
    import aiohttp

    try:
        async with session.post(url, data=body) as response:
            return Answer(response.status, await response.read())
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Answer(generator.NO_ANSWER, f"{type(error).__name__}: {error}".encode())
