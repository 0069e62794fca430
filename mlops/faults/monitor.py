"""A service that is not well, rows that moved, labels that say otherwise; and a live release as it was when judged."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

import numpy as np

from mlops.faults.bench import Bench
from mlops.faults.case import Case, Reaction, sound
from mlops.gates import health
from mlops.gates import monitor as gate
from mlops.gates.health import Stored, Traffic
from mlops.gates.model import best_constant, tolerance
from mlops.release import Manifest
from mlops.statistics.decline import Decline, Level, decline
from mlops.statistics.drift import Shift
from mlops.statistics.influence import measure, needs_probabilities
from mlops.verdict import Finding

_MANY = 100_000  # requests, and rows: enough for any limit
_FEW = 10  # labelled rows, which tell nothing
_DAY = 86_400.0
_LIVE, _OTHER = "the live release", "another release"


def cases(bench: Bench) -> Generator[Case]:
    """Each fault of a service, then of what its model meets, under the user's own limits."""
    yield from _service(bench)
    yield from _performance(bench)
    yield from _met(bench)


def _service(bench: Bench) -> Iterator[Case]:
    limits, subject = bench.config.monitor, bench.model.family
    ready = partial(health.judge_ready, subject=subject, running=True, address="")
    workers = partial(health.judge_workers, subject=subject, live=_LIVE, troubles={}, wanted=2)
    traffic = partial(health.judge_traffic, subject=subject, errors=limits.errors, refusals=limits.refusals)
    stored = partial(health.judge_stored, subject=subject, limit=limits.expired)
    disk = partial(health.judge_disk, limit_gb=limits.disk_gb, place=".mlops")

    def fresh(expired: float) -> list[Stored]:
        return [Stored(view="a view", published=True, age_seconds=_DAY, expired=expired, ttl_seconds=_DAY)]

    yield sound(
        lambda: [
            ready(ready=True),
            workers(serving={1: _LIVE, 2: _LIVE}),
            *traffic(_requests()),
            *stored(fresh(0.0)),
            disk(int(2 * limits.disk_gb * 1e9)),
        ],
        "none (a service)",
    )
    said = "[tool.mlops.monitor]"
    yield Case(fault="/readyz does not answer", check="monitor.ready", judge=lambda: [ready(ready=False)])
    yield Case(
        fault="a worker serves another release",
        check="monitor.workers",
        judge=lambda: [workers(serving={1: _LIVE, 2: _OTHER})],
    )
    yield Case(
        fault="one request in five fails",
        check="monitor.errors",
        judge=lambda: traffic(_requests(errors=_MANY // 5)),
        setting=f"{said} errors = {limits.errors:g}",
    )
    yield Case(
        fault="one request in two is refused",
        check="monitor.refusals",
        judge=lambda: traffic(_requests(refused=_MANY // 2)),
        setting=f"{said} refusals = {limits.refusals:g}",
    )
    yield Case(
        fault="one request in five is slow", check="monitor.latency", judge=lambda: traffic(_requests(slow=_MANY // 5))
    )
    yield Case(
        fault="every stored value is too old",
        check="monitor.features",
        judge=lambda: stored(fresh(1.0)),
        setting=f"{said} expired = {limits.expired:g}",
    )
    yield Case(fault="the disk is full", check="monitor.disk", judge=lambda: [disk(0)])


def _requests(errors: int = 0, refused: int = 0, slow: int = 0) -> Traffic:
    return Traffic(requests=_MANY, errors=errors, refused=refused, slow=slow, slow_ms=250.0)


def _performance(bench: Bench) -> Iterator[Case]:
    """The metric as it was when the model was judged, and as a constant answer has it."""
    metric, settings = bench.contract.metric, bench.settings
    if needs_probabilities(metric) and bench.answers.probabilities is None:
        return
    constant = best_constant(metric, bench.answers, len(bench.contract.classes), bench.known).value
    then = _level(measure(metric, bench.answers).value)
    if not (np.isfinite(then.value) and then.value > constant):
        return
    margin = tolerance(metric, settings.margin, then.value)
    tolerated = max(margin, tolerance(metric, settings.decline, then.value))

    def judge(now: Level, fewest: int = _MANY) -> tuple[Finding, ...]:
        found: Decline = decline(now, then, margin=margin, tolerated=tolerated)
        return gate.judge_performance(
            metric, found, release=_release(bench), rows="rows", margin=margin, floor=settings.floor, fewest=fewest
        )

    family = f"[tool.mlops.models.{bench.model.family}]"
    yield sound(lambda: judge(then), "none (as when it was judged)")
    yield Case(
        fault="it is no better than a constant",
        check="monitor.performance",
        judge=lambda: judge(_level(constant)),
        expected=Reaction.RETRAINS,
        setting=f"{family} margin = {settings.margin:g}",
    )
    yield Case(fault="hardly a label came", check="monitor.performance", judge=lambda: judge(then, _FEW))
    if settings.floor is not None:
        yield Case(
            fault="it fell to a constant's",
            check="monitor.floor",
            judge=lambda: judge(_level(constant)),
            setting=f"{family} floor = {settings.floor:g}",
        )


def _met(bench: Bench) -> Iterator[Case]:
    """What it is given, what it answers and what is true, moved by a standard deviation."""
    live, label = _release(bench), bench.contract.label
    far, near = _shift(1.0, 0.0), _shift(0.0, 1.0)
    drift: Any = partial(gate.judge_drift, release=live, ranked=None, origin="rows")
    labels: Any = partial(gate.judge_labels, label=label, release=live)
    yield sound(
        lambda: [
            *drift([near], held=False),
            gate.judge_predictions(near, release=live.release),
            labels(near, unknown=0, examples=()),
        ],
        "none (rows as in training)",
    )
    yield Case(
        fault="a column moved, and no label tells",
        check="monitor.drift",
        judge=lambda: drift([far], held=False),
        expected=Reaction.RETRAINS,
    )
    yield Case(
        fault="a column moved, and labels say it holds",
        check="monitor.drift",
        judge=lambda: drift([far], held=True),
        expected=Reaction.WARNS,
    )
    yield Case(
        fault="the answers moved",
        check="monitor.predictions",
        judge=lambda: [gate.judge_predictions(far, release=live.release)],
        expected=Reaction.WARNS,
    )
    yield Case(
        fault="a label that it never saw",
        check="monitor.labels",
        judge=lambda: [labels(None, unknown=1, examples=("new",))],
        expected=Reaction.RETRAINS,
    )


def _shift(effect: float, p: float) -> Shift:
    return Shift(column="a column", effect=effect, p=p, kind="values", n=_MANY, interval=(effect, effect))


def _level(value: float) -> Level:
    return Level(value=value, error=1e-6, n=_MANY)


def _release(bench: Bench) -> Manifest:
    """The model as if it were live."""
    contract = bench.contract
    empty: dict[str, Any] = {}
    return Manifest(
        release=f"{bench.model.name}-live",
        model=bench.model.name,
        form="",
        task=contract.task,
        metric=contract.metric,
        commit="",
        dirty=False,
        code="",
        environment="",
        snapshot=empty,
        features=empty,
        metrics=empty,
        params=empty,
        evidence=empty,
        files=empty,
    )
