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
from mlops.gates.load import Beside, judge
from mlops.release import CONTRACT
from mlops.serving.app import Limits
from mlops.serving.golden import Golden, differences, read_golden
from mlops.serving.malformed import malformed
from mlops.statistics.blocks import paired_ratio
from mlops.stores.exchange import publish
from mlops.verdict import Finding, Outcome

BOOT_SECONDS = 90.0
_TURNS = 8
_LOOKS = 4
_SURE = 2  # looks after which a "no" counts: a busy moment of the machine is not the model's fault
_LEVEL = 0.99  # of the interval, at each look: all looks together are wrong in at most 4 of 100 cases, 2 on each side
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


class UnderLoad:
    """A service under load, in turn with its rival where it has one; each `look` lasts `seconds` for each of them.

    `beside` says why there is no rival. The figures are those of the last look; how many times slower it is than
    the rival comes from all of them, on `level`.
    """

    def __init__(self, trial: Trial, rival: tuple[str, Trial] | None, limits: Load, *, why: str = "") -> None:
        self._trial, self._limits, self._why = trial, limits, why
        self._name = "" if rival is None else rival[0]
        self._rival = None if rival is None else rival[1]
        self._pairs: list[tuple[load.Load, load.Load]] = []
        self._last: tuple[dict[str, float], dict[str, float] | None] = ({"requests": 0.0}, None)
        self._begun = False

    def look(self) -> None:
        """Put it under load; with a rival in eighths of `seconds`, in turn. Each is asked its own golden requests."""
        services = [one for one in (self._trial, self._rival) if one is not None]
        asked = [load.Asked(one.url, [msgspec.json.encode(case.request) for case in one.golden]) for one in services]
        if not all(one.bodies for one in asked):
            self._why = self._why or "the champion has no golden requests"
            services, asked = services[:1], asked[:1]
        if not asked[0].bodies:
            return
        self._begin(services, asked)
        turns = _TURNS if len(asked) > 1 else 1
        seconds = self._limits.seconds / turns
        loads = load.drive(asked, connections=self._limits.connections, seconds=seconds, rounds=turns)
        figures = [_figures(one, load.together(mine)) for one, mine in zip(services, loads, strict=True)]
        if len(loads) == 2:
            self._pairs += zip(*loads, strict=True)
        self._last = (figures[0], figures[1] if len(figures) == 2 else None)

    def _begin(self, services: list[Trial], asked: list[load.Asked]) -> None:
        if self._begun:
            return
        self._begun = True
        for one, what in zip(services, asked, strict=True):
            if one is self._rival and rounds(one.contract, one.golden):
                _publish(one, rounds(one.contract, one.golden)[0])
            load.ask(what.url, what.bodies[:_WARMING])

    @property
    def measured(self) -> dict[str, float]:
        """`requests`, `errors`, `qps`, `mean_ms`, `p50_ms`, `p95_ms`, `p99_ms`, `memory_mb` of the last look."""
        return self._last[0]

    def beside(self, *, level: float) -> Beside:
        """The same of the rival, and the ratio of the mean latencies."""
        figures = self._last[1]
        if figures is None:
            return Beside(release=self._name, why=self._why)
        if any(theirs.failed for _, theirs in self._pairs):
            why = f"the champion {self._name} leaves its own golden requests unanswered on this machine"
            return Beside(release=self._name, figures=figures, why=why)
        means = [[fmean(one.milliseconds) for one in pair] for pair in self._pairs]
        ratio = paired_ratio([ours for ours, _ in means], [theirs for _, theirs in means], level=level)
        return Beside(release=self._name, figures=figures, slower=ratio)


def judge_load(load: UnderLoad, limits: Load, *, subject: str) -> tuple[tuple[Finding, ...], Beside]:
    """What a load says, and the champion beside it; looked at again where something was found or could not be told."""
    findings: tuple[Finding, ...] = ()
    beside = Beside()
    for look in range(1, _LOOKS + 1):
        load.look()
        beside = load.beside(level=_LEVEL)
        findings = judge(load.measured, beside, limits, subject=subject)
        fired = {finding.outcome for finding in findings if finding.fired}
        if not fired or load.measured.get("errors") or (look >= _SURE and fired != {Outcome.INSUFFICIENT}):
            break
    return findings, beside


def _figures(trial: Trial, done: load.Load) -> dict[str, float]:
    return {
        "memory_mb": load.memory(trial.pid),
        "requests": float(done.requests),
        "errors": float(done.failed),
        "qps": done.qps,
        "mean_ms": fmean(done.milliseconds) if done.milliseconds else float("nan"),
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
