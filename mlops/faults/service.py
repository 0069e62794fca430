"""A real server of the user's bento, in which a fault is switched on while it runs."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path

from mlops.config import Load
from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.gates import service as gate
from mlops.trial import DidNotBoot, Trial, judge_boot, judge_golden, judge_malformed, loaded, on_trial
from mlops.verdict import Finding

_SECONDS = 0.5
"""How long each load lasts; a planted fault shows at once."""

_SLOW = 1.0
"""Seconds that an answer of the slow model takes."""

_PLANTED = """

# -- planted by the self-test -----------------------------------------------------------------------------------------
import asyncio as _asyncio
from itertools import count as _count
from pathlib import Path as _Path

_switch, _calls, _sound = _Path({switch!r}), _count(), Front._answered


async def _faulty(self, release, body, request_id):
    fault = _switch.read_text()
    if fault == "bad":
        try:
            release.decoder.decode(body)
        except Refused:
            raise RuntimeError("planted") from None
    if fault == "slow":
        await _asyncio.sleep({slow})
    if fault == "errors" and next(_calls) % 5 == 0:
        raise RuntimeError("planted")
    answer, rows = await _sound(self, release, body, request_id)
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
        bench.workspace.objects.get_tree(packaged.outputs["bento"], bento)
        switch.write_text("")
        with (bento / "src" / "mlops" / "serving" / "app.py").open("a", encoding="utf-8") as app:
            app.write(_PLANTED.format(switch=str(switch), slow=_SLOW))
        with on_trial(bento, place) as trial:
            yield from _asked(trial, switch, bench.config.load)
        yield Case(fault="it does not start", check="service.boot", judge=partial(_broken, bento, place))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _asked(trial: Trial, switch: Path, limits: Load) -> Iterator[Case]:
    load = "[tool.mlops.load]"

    @contextlib.contextmanager
    def planted(fault: str) -> Iterator[None]:
        switch.write_text(fault)
        try:
            yield
        finally:
            switch.write_text("")

    def golden(fault: str) -> list[Finding]:
        with planted(fault):
            return [judge_golden(trial)]

    def malformed() -> list[Finding]:
        with planted("bad"):
            return [judge_malformed(trial)]

    def under_load(fault: str) -> tuple[Finding, ...]:
        with planted(fault):
            return _loaded(trial, limits)

    yield sound(lambda: [judge_boot(trial), judge_golden(trial), judge_malformed(trial), *_loaded(trial, limits)])
    yield Case(fault="other answers", check="service.golden", judge=partial(golden, "wrong"))
    yield Case(fault="NaN for an answer", check="service.golden", judge=partial(golden, "NaN"))
    yield Case(fault="500 on bad input", check="service.malformed", judge=malformed)
    yield Case(fault="every fifth request fails", check="service.errors", judge=partial(under_load, "errors"))
    yield Case(
        fault=f"{_SLOW:g} s for an answer",
        check="service.latency",
        judge=partial(under_load, "slow"),
        setting=f"{load} p99_ms = {limits.p99_ms:g}",
    )
    yield Case(
        fault=f"{_SLOW:g} s for an answer",
        check="service.throughput",
        judge=partial(under_load, "slow"),
        setting=f"{load} qps = {limits.qps:g}",
    )


def _loaded(trial: Trial, limits: Load) -> tuple[Finding, ...]:
    brief = Load(seconds=_SECONDS, connections=limits.connections, p99_ms=limits.p99_ms, qps=limits.qps)
    return gate.load(loaded(trial, brief), limits, subject=trial.contract.model)


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
