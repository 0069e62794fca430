"""Runs that are killed again and again end where an uninterrupted one does, and never show half a release."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops.adapters.index import Index
from mlops.adapters.ledger import Ledger
from mlops.exhibits import OUTPUT
from mlops.serving.integrity import verify
from mlops.serving.pointer import read_pointer
from mlops.steps.gc import collect
from mlops.targets import chosen
from tests import small
from tests.killed import Host

LEAST = 30


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


def made_by(root: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """Each step's key and the digests of what it made; pictures aside, which tell of times and of this machine."""
    index = Index(root / ".mlops" / "index.db")
    records = index.records()
    index.close()
    return {
        r.name: (r.key, {n: d for n, d in r.outputs.items() if n != OUTPUT}) for r in records if r.step != "register"
    }


def demand_nothing_half(root: Path) -> None:
    """After a kill: every release that has a name is whole, what the index promises is there, the pointer is read."""
    workspace = small.opened(root)
    for release in chosen.releases(workspace.releases):
        verify(workspace.releases / release)
    if (workspace.home / "index.db").exists():
        index = Index(workspace.home / "index.db")
        assert all(workspace.objects.has(d) for r in index.records() for d in r.outputs.values())
        index.close()
    pointer = read_pointer(workspace.environments / "staging" / "churn")
    if pointer is not None:
        verify(workspace.releases / pointer.live)


def test_a_run_killed_at_many_points_ends_as_one_that_was_not(host, released, tmp_path):
    """Promise 12: at least thirty kills, at each point once; each run goes on where the one before was killed."""
    whole, killed, log = released[0], small.churn(tmp_path / "killed"), tmp_path / "kills.txt"
    Ledger(killed / ".mlops", "shop")  # that a kill does not harm its making is tested beside the ledger
    while (code := host.run(killed, kills=log)) == -signal.SIGKILL:
        demand_nothing_half(killed)
    points = log.read_text().splitlines()
    assert code == 0, f"after {len(points)} kills, the last at {points[-1]}"
    assert len(points) == len(set(points)) >= LEAST, points
    steps = {point.partition(":")[0] for point in points}
    assert {"snapshot", "train", "package", "register"} <= steps, steps
    assert made_by(killed) == made_by(whole)
    workspace, reference = small.opened(killed), small.opened(whole)
    assert chosen.releases(workspace.releases) == chosen.releases(reference.releases)
    live = [read_pointer(w.environments / "staging" / "churn").live for w in (workspace, reference)]
    assert live[0] == live[1]
    ledger = Ledger(workspace.home, "shop")
    assert len(ledger.client.search_model_versions("name = 'churn'")) == 1, "one release is one version"
    running = ledger.client.search_runs([ledger.experiment], "attributes.status = 'RUNNING'")
    assert running == [], "who was killed is told as killed"
    collect(workspace, now=time.time() + 7200)
    assert list(workspace.home.rglob(".*.tmp")) == [], "what kills left behind is collected"
