"""PROMISES 7 and 8: what callers notice of 40 switches under load, and how long a rollback takes, warm and cold.

A server of two workers gets 200 requests a second, half over kept connections and half over new ones. The rival is the
same server under the same load in which nothing is switched.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.ratio import Ratio
from mlops.adapters.load import Load, Steady
from mlops.serving.pointer import read_pointer
from mlops.steps.deploy import deploy
from mlops.steps.rollback import rollback
from mlops.targets import chosen
from mlops.targets.protocol import Order
from mlops.targets.scratch import Copy, served_copy
from mlops.workspace import Workspace
from tests.serving.releases import contract, make_project, make_release

SWITCHES, EVERY, RATE = 40, 0.4, 200.0
WARM, COLD = 1.0, 30.0
_BODIES = [b'{"amount": %d.5}' % number for number in range(97)]


def measure() -> list[Ratio]:
    """p99 with and without switches, failed requests, and seconds of a rollback."""
    with tempfile.TemporaryDirectory() as folder:
        workspace, releases = _project(Path(folder) / "shop")
        target = chosen.local(workspace, "staging")
        pointer = read_pointer(target.folder / "fraud")
        assert pointer is not None
        with served_copy(target, "fraud", pointer, Path(folder) / "copy", workers=2) as copy:
            calm, busy, seconds = _loads(copy, releases)
            cold = _moved(copy, releases[0])  # the workers hold two beside the live one, and this is none of them
    _print(calm, busy, seconds, cold)
    return [
        Ratio("7", "p99 in 40 switches / the promised 100 ms", busy.quantile(0.99), 100.0, 1.0, unit="ms"),
        Ratio("7", "failed requests of at least 3,000 / one", float(busy.failed), 1.0, 0.0, unit=""),
        Ratio("8", "rollback, warm (slowest of 40) / 1 s", max(seconds), WARM, 1.0),
        Ratio("8", "rollback, cold / 30 s", cold, COLD, 1.0),
    ]


def _project(root: Path) -> tuple[Workspace, list[str]]:
    workspace = make_project(root, workers=2)
    releases = [
        make_release(workspace.releases, contract(f"fraud_v{number}", stored=False), factor=1.0 + number / 10)
        for number in range(1, 6)
    ]
    for release in releases:
        deploy(workspace, environment="staging", release=release)
    rollback(workspace, environment="staging", to=releases[-1])
    return workspace, releases


def _loads(copy: Copy, releases: Sequence[str]) -> tuple[Load, Load, list[float]]:
    calm = Steady(copy.url, _BODIES, rate=RATE)
    with calm:
        time.sleep(SWITCHES * EVERY)
    busy, seconds = Steady(copy.url, _BODIES, rate=RATE), []
    with busy:
        started = time.monotonic()
        for switch in range(SWITCHES):
            seconds.append(_moved(copy, releases[-2 + switch % 2]))
            time.sleep(max(0.0, started + (switch + 1) * EVERY - time.monotonic()))
    return calm.load, busy.load, seconds


def _moved(copy: Copy, release: str) -> float:
    order = Order(action="rollback", family=copy.family, release=release, who="benchmark", reason="")
    return copy.target.move(order).seconds


def _print(calm: Load, busy: Load, seconds: Sequence[float], cold: float) -> None:
    print("\n                       requests   failed   p50 ms   p99 ms   slowest ms")
    for name, one in (("nothing is switched", calm), (f"{SWITCHES} switches", busy)):
        slow = [one.quantile(share) for share in (0.5, 0.99, 1.0)]
        print("{:<22} {:>8} {:>8} {:>8.1f} {:>8.1f} {:>12.1f}".format(name, one.requests, one.failed, *slow))
    print(f"rollback: warm {statistics.median(seconds):.2f} s (slowest {max(seconds):.2f}), cold {cold:.2f} s\n")
