"""A bento on trial: booted as a real server of its own, asked golden and malformed requests, put under a short load."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from mlops.adapters import bentoserver, load
from mlops.config import Load
from mlops.contract import Contract
from mlops.gates import service as gate
from mlops.release import CONTRACT
from mlops.serving.app import Limits
from mlops.serving.golden import Golden, differences, read_golden
from mlops.serving.malformed import malformed
from mlops.statistics.blocks import paired_ratio
from mlops.stores.online import publish
from mlops.verdict import Finding

BOOT_SECONDS = 90.0
_TURNS = 8
_WARMING = 4  # requests before the first turn, that nobody measures
_HOPELESS = ("Initializing service error", "Application startup failed")
"""What BentoML and uvicorn log when a worker cannot start; its supervisor would try for ever."""


class DidNotBoot(Exception):
    """The server did not come up; `findings` say why, and that nothing else could run."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__(findings[0].message)
        self.findings = findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A running service and what it is asked."""

    url: str
    contract: Contract
    golden: Sequence[Golden]
    online: Path
    seconds: float  # it took to boot
    pid: int = 0  # of the server; its workers are its children


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the service answered: the status (0 where nothing came back), the JSON read, and the seconds it took."""

    status: int
    body: Any
    seconds: float


@contextlib.contextmanager
def on_trial(bento: Path, place: Path) -> Iterator[Trial]:
    """The bento behind a free loopback port, with an online store of its own in `place`; gone when the block ends.

    DidNotBoot when it is not ready in time.
    """
    payload = bento / "src" / "release"
    contract = msgspec.json.decode((payload / CONTRACT).read_bytes(), type=Contract)
    log, online = place / "server.log", place / "online.sqlite"
    serving = bentoserver.Serving(
        target=str(bento.resolve()),
        port=bentoserver.free_port(),
        home=place / "bentoml",
        variables={
            "MLOPS_ONLINE": str(online),
            "MLOPS_BODY_BYTES": str(Limits().body_bytes),
            "MLOPS_WORKERS": "1",
            "MLOPS_DECISIONS": "",
        },
    )
    started = time.monotonic()
    with bentoserver.running(serving, log=log) as server:
        try:
            bentoserver.wait_ready(server, serving, seconds=BOOT_SECONDS, failed=lambda: _hopeless(log))
        except bentoserver.NotReady as error:
            last = bentoserver.last_lines(log)
            raise DidNotBoot(gate.did_not_boot(error.message, last, subject=contract.model)) from error
        yield Trial(
            url=f"http://{serving.host}:{serving.port}/predict",
            contract=contract,
            golden=read_golden(payload),
            online=online,
            seconds=time.monotonic() - started,
            pid=server.pid,
        )


def judge_boot(trial: Trial) -> Finding:
    """That the service was ready in time."""
    return gate.booted(trial.seconds, limit=BOOT_SECONDS, subject=trial.contract.model)


def judge_golden(trial: Trial) -> Finding:
    """Whether the golden requests are answered as when the model was packaged."""
    wrong: list[str] = []
    for some in rounds(trial.contract, trial.golden):
        _publish(trial, some)
        answers = load.ask(trial.url, [msgspec.json.encode(one.request) for one in some])
        wrong += differences(some, [_read(answer) for answer in answers])
    return gate.golden(wrong, n=len(trial.golden), subject=trial.contract.model)


def judge_malformed(trial: Trial) -> Finding:
    """Whether requests that are none are refused with 4xx."""
    if not trial.golden:
        return gate.malformed({}, subject=trial.contract.model)
    bad = malformed(trial.contract, trial.golden[0].request, body_bytes=Limits().body_bytes)
    answers = load.ask(trial.url, [one.body for one in bad])
    statuses = {one.name: answer.status for one, answer in zip(bad, answers, strict=True)}
    return gate.malformed(statuses, subject=trial.contract.model)


def asker(trial: Trial) -> tuple[Callable[[Any], Reply], list[dict[str, Any]]]:
    """A function that asks the service, and requests whose entities have stored features there."""
    groups = rounds(trial.contract, trial.golden)
    some = groups[0] if groups else []
    _publish(trial, some)
    return asking(trial.url), [one.request for one in some]


def asking(url: str) -> Callable[[Any], Reply]:
    """A function from a request, or its bytes, to what the service at `url` answers."""

    def ask(request: Any) -> Reply:
        body = request if isinstance(request, bytes) else msgspec.json.encode(request)
        started = time.monotonic()
        [answer] = load.ask(url, [body])
        seconds = time.monotonic() - started
        try:
            read = msgspec.json.decode(answer.body)
        except msgspec.DecodeError:
            read = answer.body.decode(errors="replace")
        return Reply(status=answer.status, body=read, seconds=seconds)

    return ask


def loaded(trial: Trial, limits: Load) -> dict[str, float]:
    """What a short load measures: `requests`, `errors`, `qps`, `p50_ms`, `p95_ms`, `p99_ms`."""
    bodies = [msgspec.json.encode(one.request) for one in trial.golden]
    if not bodies:
        return {"requests": 0.0}
    done = load.drive(trial.url, bodies, connections=limits.connections, seconds=limits.seconds)
    return _figures(trial, done)


def loaded_in_turn(trial: Trial, rival: Trial, limits: Load) -> tuple[dict[str, float], dict[str, float]]:
    """What `loaded` measures of both, each under load for `seconds` in turns of an eighth of that.

    The first also has `slower`, `slower_low` and `slower_high`: how many times the rival's mean latency its own is.
    Each is asked its own golden requests: two releases may read other fields.
    """
    ours = [msgspec.json.encode(one.request) for one in trial.golden]
    theirs = [msgspec.json.encode(one.request) for one in rival.golden]
    if not ours or not theirs:
        return loaded(trial, limits), {}
    if rounds(rival.contract, rival.golden):
        _publish(rival, rounds(rival.contract, rival.golden)[0])
    for warming, bodies in ((trial, ours), (rival, theirs)):
        load.ask(warming.url, bodies[:_WARMING])
    turns: tuple[list[load.Load], list[load.Load]] = ([], [])
    for _ in range(_TURNS):
        for mine, one, bodies in zip(turns, (trial, rival), (ours, theirs), strict=True):
            seconds = limits.seconds / _TURNS
            mine.append(load.drive(one.url, bodies, connections=limits.connections, seconds=seconds))
    figures = [_figures(one, load.together(mine)) for one, mine in zip((trial, rival), turns, strict=True)]
    means = [[fmean(block.milliseconds) for block in mine if block.milliseconds] for mine in turns]
    if len(means[0]) != len(means[1]) or not means[0]:
        return figures[0], figures[1]
    ratio = paired_ratio(means[0], means[1], seed=0)
    slower = {"slower": ratio.value, "slower_low": ratio.low, "slower_high": ratio.high}
    return {**figures[0], **slower}, figures[1]


def _figures(trial: Trial, done: load.Load) -> dict[str, float]:
    return {
        "memory_mb": load.memory(trial.pid),
        "requests": float(done.requests),
        "errors": float(done.failed),
        "qps": done.qps,
        "p50_ms": done.quantile(0.50),
        "p95_ms": done.quantile(0.95),
        "p99_ms": done.quantile(0.99),
    }


def rounds(contract: Contract, golden: Sequence[Golden]) -> list[list[Golden]]:
    """The golden requests in groups within which an entity has one set of stored features, in order."""
    groups: list[list[Golden]] = []
    known: dict[tuple[str, Any], Any] = {}
    for one in golden:
        mine = {
            (stored.name, one.request.get(stored.entity)): one.stored.get(stored.name) for stored in contract.stored
        }
        if not groups or any(known.get(place, value) != value for place, value in mine.items()):
            groups.append([])
            known = {}
        groups[-1].append(one)
        known |= mine
    return groups


def _publish(trial: Trial, golden: Sequence[Golden]) -> None:
    for view, entity in dict.fromkeys((stored.view, stored.entity) for stored in trial.contract.stored):
        columns = [(s.name, s.column) for s in trial.contract.stored if (s.view, s.entity) == (view, entity)]
        rows = [
            {entity: one.request.get(entity), **{column: one.stored.get(name) for name, column in columns}}
            for one in golden
        ]
        publish(trial.online, view, entity, rows)


def _read(answer: load.Answer) -> dict[str, Any]:
    try:
        read = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        read = None
    if answer.status == 200 and isinstance(read, dict):
        return read
    return {"status": answer.status, "body": answer.body.decode(errors="replace")[:200]}


def _hopeless(log: Path) -> str | None:
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "the service could not start" if any(sign in said for sign in _HOPELESS) else None
