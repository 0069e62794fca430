"""`check-service`: the bento booted as a real server, asked golden and malformed requests, put under a short load."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlops.adapters import bentoserver, load
from mlops.config import Load
from mlops.contract import Contract
from mlops.gates import service as gate
from mlops.release import CONTRACT
from mlops.serving.golden import Golden, differences, read_golden
from mlops.serving.malformed import malformed
from mlops.stores.online import publish
from mlops.verdict import Finding, Record, Verdict

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1
BOOT_SECONDS = 90.0
_BODY_BYTES = 1 << 20
_HOPELESS = ("Initializing service error", "Application startup failed")
"""What BentoML and uvicorn log when a worker cannot start; its supervisor would try for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A running service and what it is asked."""

    url: str
    contract: Contract
    golden: Sequence[Golden]
    online: Path


def check_service(
    workspace: Workspace,
    *,
    bento: Path,
    limits: Load,
    champion: Mapping[str, float] | None = None,
) -> Record:
    """The verdict on a bento; metrics `boot_seconds`, `qps`, `p50_ms`, `p95_ms`, `p99_ms`, `errors`, `requests`.

    The server gets a free loopback port and an online store of its own with the golden requests' features, and is
    gone when this returns. `champion` holds the same metrics of the release that serves, told beside the new ones.
    """
    payload = bento / "src" / "release"
    contract = msgspec.json.decode((payload / CONTRACT).read_bytes(), type=Contract)
    place = Path(tempfile.mkdtemp(prefix="service-", dir=workspace.scratch))
    try:
        findings, metrics = _boot_and_ask(bento, contract, read_golden(payload), place, limits, champion)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    verdict = Verdict(gate="check-service", subject=contract.model, findings=findings)
    return Record(step="check-service", subject=contract.model, metrics=metrics, verdict=verdict)


def _boot_and_ask(
    bento: Path,
    contract: Contract,
    golden: Sequence[Golden],
    place: Path,
    limits: Load,
    champion: Mapping[str, float] | None,
) -> tuple[tuple[Finding, ...], dict[str, float]]:
    log, online = place / "server.log", place / "online.sqlite"
    serving = bentoserver.Serving(
        target=str(bento.resolve()),
        port=bentoserver.free_port(),
        home=place / "bentoml",
        variables={"MLOPS_ONLINE": str(online), "MLOPS_BODY_BYTES": str(_BODY_BYTES), "MLOPS_WORKERS": "1"},
    )
    started = time.monotonic()
    with bentoserver.running(serving, log=log) as server:
        try:
            bentoserver.wait_ready(server, serving, seconds=BOOT_SECONDS, failed=lambda: _hopeless(log))
        except bentoserver.NotReady as error:
            return gate.did_not_boot(error.message, bentoserver.last_lines(log), subject=contract.model), {}
        seconds = time.monotonic() - started
        boot = gate.booted(seconds, limit=BOOT_SECONDS, subject=contract.model)
        url = f"http://{serving.host}:{serving.port}/predict"
        asked = _Asked(url=url, contract=contract, golden=golden, online=online)
        findings = (boot, _golden(asked), _malformed(asked))
        measured = _loaded(asked, limits)
        loaded = gate.load(measured, limits, subject=contract.model, champion=champion)
        if any(finding.fired for finding in loaded) and not measured.get("errors"):
            # A busy moment of the machine is not the model's fault; what is slow twice is slow.
            measured = _loaded(asked, limits)
            loaded = gate.load(measured, limits, subject=contract.model, champion=champion)
        return (*findings, *loaded), {"boot_seconds": seconds, **measured}


def _golden(asked: _Asked) -> Finding:
    wrong: list[str] = []
    for some in rounds(asked.contract, asked.golden):
        _publish(asked, some)
        answers = load.ask(asked.url, [msgspec.json.encode(one.request) for one in some])
        wrong += differences(some, [_read(answer) for answer in answers])
    return gate.golden(wrong, n=len(asked.golden), subject=asked.contract.model)


def _malformed(asked: _Asked) -> Finding:
    if not asked.golden:
        return gate.malformed({}, subject=asked.contract.model)
    bad = malformed(asked.contract, asked.golden[0].request, body_bytes=_BODY_BYTES)
    answers = load.ask(asked.url, [one.body for one in bad])
    statuses = {one.name: answer.status for one, answer in zip(bad, answers, strict=True)}
    return gate.malformed(statuses, subject=asked.contract.model)


def _loaded(asked: _Asked, limits: Load) -> dict[str, float]:
    bodies = [msgspec.json.encode(one.request) for one in asked.golden]
    if not bodies:
        return {"requests": 0.0}
    done = load.drive(asked.url, bodies, connections=limits.connections, seconds=limits.seconds)
    return {
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


def _publish(asked: _Asked, golden: Sequence[Golden]) -> None:
    for view, entity in dict.fromkeys((stored.view, stored.entity) for stored in asked.contract.stored):
        columns = [(s.name, s.column) for s in asked.contract.stored if (s.view, s.entity) == (view, entity)]
        rows = [
            {entity: one.request.get(entity), **{column: one.stored.get(name) for name, column in columns}}
            for one in golden
        ]
        publish(asked.online, view, entity, rows)


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
