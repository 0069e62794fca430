"""A real server of the user's bento, in which a fault is switched on while it runs."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlops import rehearsal
from mlops.adapters.load import memory as load_memory
from mlops.config import Load
from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.stores.embedded import EmbeddedStore
from mlops.trial import DidNotBoot, Trial, UnderLoad, judge_boot, judge_golden, judge_load, judge_malformed, on_trial
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

_SECONDS = 0.5
"""How long each load lasts; a planted fault shows at once."""

_SLOW = 1.0
"""Seconds that an answer of the slow model takes."""

_SLOWER = 0.1
"""Seconds that the model takes longer than the champion: less than what is too slow for anybody."""

_PLANTED = """

# -- planted by the self-test -----------------------------------------------------------------------------------------
import asyncio as _asyncio
from itertools import count as _count
from pathlib import Path as _Path

_switch, _calls, _sound = _Path({switch!r}), _count(), Front._answered


async def _faulty(self, release, body, *more):
    fault = _switch.read_text()
    if fault == "bad":
        try:
            release.decoder.decode(body)
        except Refused:
            raise RuntimeError("planted") from None
    if fault.startswith("slow"):
        await _asyncio.sleep({slower} if fault == "slower" else {slow})
    if fault == "errors" and next(_calls) % 5 == 0:
        raise RuntimeError("planted")
    answer, rows = await _sound(self, release, body, *more)
    if fault in ("NaN", "wrong"):
        found = msgspec.json.decode(answer)
        for one in found if isinstance(found, list) else [found]:
            name = "prediction" if "probability" not in one else "probability"
            one[name] = None if fault == "NaN" else "another" if isinstance(one[name], str) else 0.5 - one[name]
        answer = _encode(found)
    return answer, rows


Front._answered = _faulty
"""


def cases(bench: Bench) -> Generator[Case]:
    """A service that does not start, and one that is slow, wrong, fragile or sound as it is told."""
    packaged = bench.material.packaged
    if packaged is None:
        return
    place = Path(tempfile.mkdtemp(prefix="selftest-", dir=bench.workspace.scratch))
    try:
        bento, switch = place / "bento", place / "fault"
        beside, home = place / "champion", place / "beside"
        home.mkdir()
        # The champion looks for a fault too, at each request, and finds none: else it would be quicker for that alone.
        for copy, fault in ((bento, switch), (beside, place / "none")):
            bench.workspace.objects.get_tree(packaged.outputs["bento"], copy)
            fault.write_text("")
            with (copy / "src" / "mlops" / "serving" / "app.py").open("a", encoding="utf-8") as app:
                app.write(_PLANTED.format(switch=str(fault), slow=_SLOW, slower=_SLOWER))
        material = _past(bench, place)
        asked = rehearsal.questions(material, bench.contract, bench.workspace.objects)
        yield from _of_inputs(bench, material, asked, bento)
        with on_trial(bento, place) as trial, on_trial(beside, home) as champion:
            yield from _asked(trial, champion, switch, bench.config.load)
            yield from _under_load(trial, champion, switch, bench.config.load)
            service = rehearsal.Running(
                url=trial.url, online=trial.online, payload=bento / "src" / "release", contract=trial.contract
            )
            yield from _of_answers(bench, material, asked, service, switch)
        yield Case(fault="it does not start", check="service.boot", judge=partial(_broken, bento, place))
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _planted(switch: Path, fault: str) -> Iterator[None]:
    """The service has the fault while this lasts; "" is none."""
    switch.write_text(fault)
    try:
        yield
    finally:
        switch.write_text("")


def _asked(trial: Trial, champion: Trial, switch: Path, limits: Load) -> Iterator[Case]:
    def golden(fault: str) -> list[Finding]:
        with _planted(switch, fault):
            return [judge_golden(trial)]

    def malformed() -> list[Finding]:
        with _planted(switch, "bad"):
            return [judge_malformed(trial)]

    def everything() -> list[Finding]:
        asked = (judge_boot(trial), judge_golden(trial), judge_malformed(trial))
        return [*asked, *_loaded(trial, champion, limits)]

    yield sound(everything)
    yield Case(fault="other answers", check="service.golden", judge=partial(golden, "wrong"))
    yield Case(fault="NaN for an answer", check="service.golden", judge=partial(golden, "NaN"))
    yield Case(fault="500 on bad input", check="service.malformed", judge=malformed)


def _under_load(trial: Trial, champion: Trial, switch: Path, limits: Load) -> Iterator[Case]:
    load = "[tool.mlops.load]"

    def judge(fault: str, beside: Trial | None = None) -> tuple[Finding, ...]:
        with _planted(switch, fault):
            return _loaded(trial, beside, limits)

    yield Case(fault="every fifth request fails", check="service.errors", judge=partial(judge, "errors"))
    yield Case(
        fault=f"{_SLOW:g} s for an answer: too late",
        check="service.latency",
        judge=partial(judge, "slow"),
        setting=f"{load} p99_ms = {limits.p99_ms:g}",
    )
    yield Case(
        fault=f"{_SLOW:g} s for an answer: too few a second",
        check="service.throughput",
        judge=partial(judge, "slow"),
        setting=f"{load} qps = {limits.qps:g}",
    )
    yield Case(
        fault=f"{_SLOWER:g} s more than the champion for an answer",
        check="service.champion",
        judge=partial(judge, "slower", champion),
        setting=f"{load} slower = {limits.slower:g}",
    )
    yield Case(
        fault="more memory than is allowed (the limit halved)",
        check="service.memory",
        judge=lambda: _loaded(trial, None, limits, memory=load_memory(trial.pid) / 2),
    )


def _past(bench: Bench, place: Path) -> rehearsal.Material:
    """What the model learnt from; its views are computed again, and lie in the store already."""
    views, _ = bench.workspace.catalog.pinned(bench.model)
    store = EmbeddedStore(place / "features", bench.workspace.objects)
    written = {view.name: store.write(view, view.function(bench.table(view.source).copy())) for view in views}
    return rehearsal.Material(
        table=bench.holdout, views={view.name: view for view in views}, written=written, seed=bench.seed
    )


def _of_inputs(bench: Bench, material: rehearsal.Material, asked: rehearsal.Questions, bento: Path) -> Iterator[Case]:
    """A training table in which an on-demand feature, or else any number, read more than its own row."""
    contract = bench.contract
    computed = [one.name for one in contract.computed if one.kind == "number"]
    name = next(iter([*computed, *contract.by_kind()[0]]), None)
    if name is None:
        return

    def judge(table: pd.DataFrame) -> list[Finding]:
        place = Path(tempfile.mkdtemp(prefix="inputs-", dir=bento.parent))
        given = replace(asked, table=table)
        return [rehearsal.judge_inputs(bench.workspace, material, given, bento, place, subject=contract.model)]

    values = asked.table[name].astype("float64").fillna(0.0)
    what = f"{name} of the training table"
    yield sound(lambda: judge(asked.table), "none (requests of the past)")
    yield Case(
        fault=f"{what} used its neighbours",
        check="service.inputs",
        judge=lambda: judge(asked.table.assign(**{name: values - values.mean() + 1.0})),
    )
    yield Case(
        fault=f"{what} read the clock",
        check="service.inputs",
        judge=lambda: judge(asked.table.assign(**{name: values + time.time()})),
    )


def _of_answers(
    bench: Bench,
    material: rehearsal.Material,
    asked: rehearsal.Questions,
    service: rehearsal.Running,
    switch: Path,
) -> Iterator[Case]:
    def judge(fault: str) -> list[Finding]:
        with _planted(switch, fault):
            return [rehearsal.judge_answers(material, asked, service, bench.workspace.objects)]

    yield sound(lambda: judge(""), "none (answers to the past)")
    yield Case(fault="other answers to the past", check="service.parity", judge=partial(judge, "wrong"))


def _loaded(trial: Trial, champion: Trial | None, limits: Load, *, memory: float | None = None) -> tuple[Finding, ...]:
    brief = msgspec.structs.replace(limits, seconds=_SECONDS, memory_mb=memory or limits.memory_mb)
    under = UnderLoad(trial, ("the sound one", champion) if champion else None, brief, why="it is not asked here")
    return judge_load(under, brief, subject=trial.contract.model)[0]


def _broken(bento: Path, place: Path) -> tuple[Finding, ...]:
    """What is said of a bento whose service cannot be imported."""
    (bento / "src" / "mlops" / "serving" / "service.py").write_text("raise RuntimeError('planted')\n", encoding="utf-8")
    home = place / "again"
    home.mkdir()
    try:
        with on_trial(bento, home) as trial:
            return (judge_boot(trial),)
    except DidNotBoot as failed:
        return failed.findings
