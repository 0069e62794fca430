"""`monitor`: is what is live healthy, does it meet what it was trained on, and is it as good as when it was judged.

Two functions, because a service can be judged when its source cannot be read.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlops import champion, exhibits
from mlops.adapters import files, prometheus, service
from mlops.errors import OutsideError
from mlops.gates import health as gate
from mlops.gates.health import Stored, Traffic
from mlops.gates.severities import apply
from mlops.looks import Look
from mlops.stores import online_file
from mlops.stores.reading import expired, published
from mlops.targets import chosen
from mlops.targets.servers import expected, read_server
from mlops.verdict import Finding, Record, Report, Verdict

if TYPE_CHECKING:
    from mlops.adapters.index import Index
    from mlops.config import ModelSettings
    from mlops.release import Manifest
    from mlops.watched.met import Met, NothingMet
    from mlops.workspace import Workspace

VERSION = 1

LOOKED = "looked.json"
"""In a family's folder: what its service had counted when it was looked at last."""


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What a release's service had counted, and when."""

    at: float
    release: str
    counts: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """That a live release should be trained anew, and why."""

    environment: str
    family: str
    release: str
    reason: str

    def plain(self) -> dict[str, str]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Place:
    """One family in one environment, looked at now."""

    workspace: Workspace
    environment: str
    live: Manifest
    now: float

    @property
    def folder(self) -> Path:
        return self.workspace.environments / self.environment / self.live.family


def health(workspace: Workspace, *, environment: str, live: Manifest, now: float | None = None) -> Record:
    """The verdict over how a live release is served: readiness, workers, requests, stored features, the disk."""
    place = _Place(workspace, environment, live, time.time() if now is None else now)
    free = shutil.disk_usage(workspace.home).free
    limits = workspace.config.monitor
    found = [
        *_service(place),
        *gate.judge_stored(_stored(place), subject=live.family, limit=limits.expired),
        gate.judge_disk(free, limit_gb=limits.disk_gb, place=workspace.home.name),
    ]
    verdict = Verdict(gate="monitor", subject=live.family, findings=apply(found, workspace.config.severity))
    shares = {f.check.removeprefix("monitor."): f.measured for f in found if f.n and isinstance(f.measured, float)}
    return Record(
        step="monitor",
        subject=f"{live.family} health",
        verdict=verdict,
        params={"environment": environment, "release": live.release},
        metrics={"disk_free_gb": round(free / 1e9, 3), **shares},
        facts={"environment": environment, "release": live.release, "family": live.family},
    )


def quality(
    workspace: Workspace,
    *,
    environment: str,
    live: Manifest,
    given: Met | NothingMet,
    labelled: Met | NothingMet,
    settings: ModelSettings,
    index: Index,
) -> Record:
    """The verdict over what a live release meets: labels that arrived, its inputs, its answers.

    `given` are the rows that it is asked about, `labelled` those whose labels may have arrived; or why there are none.
    Output `exhibits`: the metric and the columns over time, what moved and what it costs.
    """
    look = Look(workspace, live, index, settings)
    performed = look.performance(labelled)
    drifted = look.drift(given, labelled, held=performed.held)
    findings = apply([*performed.findings, *drifted.findings], workspace.config.severity)
    verdict = Verdict(gate="monitor", subject=live.family, findings=findings)
    shown = [*performed.exhibits, *drifted.exhibits]
    return Record(
        step="monitor",
        subject=live.family,
        outputs={exhibits.OUTPUT: workspace.objects.put(exhibits.encode(shown))} if shown else {},
        verdict=verdict,
        params={"environment": environment, "release": live.release},
        metrics={**performed.metrics, **drifted.metrics},
        facts={
            "environment": environment,
            "release": live.release,
            "family": live.family,
            "retrain": verdict.retrain,
            "reason": wishes(findings),
            "curves": [*performed.curves, *drifted.curves],
        },
    )


def wanted(report: Report) -> tuple[Wanted, ...]:
    """The retrains that a report of `monitor` asks for."""
    return tuple(
        Wanted(**{name: str(record.facts[name]) for name in ("environment", "family", "release", "reason")})
        for record in report.records
        if record.step == "monitor" and record.facts.get("retrain")
    )


def wishes(findings: tuple[Finding, ...]) -> str:
    """Why a retrain is asked for, in a sentence or two; "" where it is not."""
    asking = [one for one in findings if Verdict(gate="", subject="", findings=(one,)).retrain]
    drifted = [one for one in asking if _drift(one)]
    moved = [f"{one.subject} by {one.measured:.2f}" for one in drifted if isinstance(one.measured, float)]
    said = [one.message for one in asking if not _drift(one)]
    return "; ".join([*said, *([f"since the training moved {', '.join(moved)}"] if moved else [])])


def _drift(finding: Finding) -> bool:
    return finding.check == "monitor.drift"


def _service(place: _Place) -> tuple[Finding, ...]:
    family, settings = place.live.family, place.workspace.config.environments[place.environment]
    state = chosen.target(place.workspace, place.environment).health(family)
    local = settings.target == "local"
    if local and not state.running and not expected(place.folder):
        return _elsewhere(place, settings.url.rstrip("/")) if settings.url else (gate.no_service(family),)
    ready = gate.judge_ready(subject=family, running=state.running, ready=state.ready, address=state.address)
    if not state.running:
        return (ready,)
    server = read_server(place.folder) if local else None
    workers = gate.judge_workers(
        subject=family,
        live=place.live.release,
        serving=state.serving,
        troubles=state.troubles,
        wanted=server.workers if server else None,
    )
    return (ready, *((workers,) if state.serving else ()), *_requests(place, state.address or settings.url.rstrip("/")))


def _elsewhere(place: _Place, url: str) -> tuple[Finding, ...]:
    """How the service answers that another machine runs, as on a runner which never started one."""
    family, live = place.live.family, place.live.release
    try:
        said = service.word(url)
    except OutsideError as error:
        return (gate.unreachable(family, said=error.message, next_step=error.next_step),)
    if said.release and said.release.rpartition("-")[0].rpartition("_v")[0] != family:
        return (gate.other_service(family, url, said.release),)
    found = gate.judge_elsewhere(subject=family, live=live, url=url, status=said.status, release=said.release)
    return (*found, *(_requests(place, url) if said.status == 200 else ()))


def _requests(place: _Place, address: str) -> tuple[Finding, ...]:
    config = place.workspace.config
    settings = config.environments[place.environment]
    token = os.environ.get(settings.token_env) if settings.token_env else None
    if not address.startswith("http"):
        return gate.no_traffic(place.live.family, "the place of this service does not tell where its /metrics are")
    if token and address == settings.url.rstrip("/") and not service.may_bear_a_token(address):
        return gate.no_traffic(place.live.family, f"{address} has no TLS, so it is not sent the token for /metrics")
    try:
        counts = dict(prometheus.scrape(address, token=token))
    except OutsideError as error:
        return gate.no_traffic(place.live.family, error.message)
    before = _looked(place.folder)
    files.write_atomically(
        place.folder / LOOKED,
        msgspec.json.encode(Looked(at=place.now, release=place.live.release, counts=counts)),
    )
    traffic = _traffic(place, counts, before)
    return gate.judge_traffic(
        traffic, subject=place.live.family, errors=config.monitor.errors, refusals=config.monitor.refusals
    )


def _traffic(place: _Place, counts: dict[str, float], before: Looked | None) -> Traffic:
    """The live release's requests since the last look; since its service began where that was started anew."""
    limit = place.workspace.config.load.p99_ms
    same = before is not None and before.release == place.live.release
    old = before.counts if before is not None and same else {}
    if any(counts.get(key, 0.0) < value for key, value in old.items() if _counted(key)):
        old = {}  # counters that fell belong to a service that was started anew
    since = f"since {datetime.fromtimestamp(before.at, UTC):%Y-%m-%d %H:%M} UTC" if before and old else ""
    added = {key: value - old.get(key, 0.0) for key, value in counts.items()}

    def of(name: str) -> list[tuple[dict[str, str], float]]:
        found = [(prometheus.labels_of(key, name), value) for key, value in added.items()]
        return [(labels, value) for labels, value in found if labels and labels.get("release") == place.live.release]

    statuses = [(int(labels["status"]), value) for labels, value in of("mlops_requests_total")]
    bounds = sorted((float(labels["le"]), value) for labels, value in of("mlops_request_seconds_bucket"))
    requests = sum(value for _, value in statuses)
    within = next((value for bound, value in bounds if bound * 1e3 >= limit), requests)
    took = bounds[-1][1] if bounds else 0.0
    return Traffic(
        requests=int(requests),
        errors=int(sum(value for status, value in statuses if status >= 500)),
        refused=int(sum(value for status, value in statuses if 400 <= status < 500 and status != 401)),
        slow=int(max(took - within, 0.0)),
        slow_ms=limit,
        since=since,
    )


def _counted(key: str) -> bool:
    return key.startswith(("mlops_requests_total{", "mlops_request_seconds_bucket{"))


def _looked(folder: Path) -> Looked | None:
    try:
        return msgspec.json.decode((folder / LOOKED).read_bytes(), type=Looked)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _stored(place: _Place) -> list[Stored]:
    """What is online of the views that the live release reads."""
    online = place.workspace.environments / place.environment / online_file(place.workspace.config)
    there = {one.view: one for one in published(online)}
    found: dict[str, Stored] = {}
    for read in champion.contract(place.workspace, place.live).stored:
        one = there.get(read.view)
        if one is None:
            found[read.view] = Stored(view=read.view, published=False)
            continue
        gone = expired(online, read.view, place.now)
        found[read.view] = Stored(
            view=read.view,
            published=True,
            age_seconds=None if one.newest is None else max(0.0, place.now - one.newest),
            expired=None if gone is None or not one.rows else gone / one.rows,
            ttl_seconds=read.ttl_seconds,
        )
    return list(found.values())
