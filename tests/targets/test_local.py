from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest

from mlops.errors import DeploymentFailed, OutsideError, RollbackFailed
from mlops.serving.pointer import Ack, being_a_worker, read_acks, read_pointer, write_ack
from mlops.targets.local import LocalTarget
from mlops.targets.lock import environment_lock
from tests.serving.releases import contract, make_release, publish_customers
from tests.targets.conformance import Conformance, Place, killed_at, order, three_releases


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    releases = tmp_path_factory.mktemp("made")
    return releases, three_releases(releases)


@pytest.fixture
def names(originals):
    return originals[1]


@pytest.fixture
def target(originals, tmp_path):
    releases = shutil.copytree(originals[0], tmp_path / "releases")
    return LocalTarget(tmp_path / "environments" / "staging", releases, patience=20.0, rehearses=False)


def live(target):
    return target.standing("fraud").live


class Worker:
    """Answers a pointer as a worker would, without a server."""

    def __init__(self, target, refuses=()):
        self.folder = target.folder / "fraud"
        self.refuses = list(refuses)
        self.served = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        while read_pointer(self.folder) and not list(self.folder.glob("workers/ack-*")):
            time.sleep(0.005)
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()

    def _run(self):
        serving = ""
        with being_a_worker(self.folder):
            while not self.stopped.is_set():
                pointer = read_pointer(self.folder)
                if pointer is None:
                    time.sleep(0.005)
                    continue
                ok = pointer.live not in self.refuses
                serving = pointer.live if ok else serving
                if serving not in self.served[-1:]:
                    self.served.append(serving)
                error = "" if ok else "it does not answer its golden requests"
                write_ack(
                    self.folder,
                    Ack(pid=os.getpid(), generation=pointer.generation, serving=serving, ok=ok, error=error),
                )
                time.sleep(0.01)


class Here(Place):
    """This machine with one worker."""

    worker: Worker

    def answering(self):
        deadline = time.monotonic() + 20
        while not (acks := read_acks(self.worker.folder)) or acks[0].generation != self.generation():
            assert time.monotonic() < deadline, "the worker does not follow"
            time.sleep(0.005)
        self.answered = self.worker.served
        return acks[0].serving

    def generation(self):
        return read_pointer(self.worker.folder).generation

    def spoil(self, release):
        self.worker.refuses.append(release)
        while not read_acks(self.target.folder / "fraud"):  # a worker that has said nothing yet is asked nothing
            time.sleep(0.005)

    def killed_while_moving(self, wanted):
        killed_at(LocalTarget, "_confirm", lambda: self.target.move(wanted))


@pytest.fixture
def place(target, names):
    made = Here(target, target.releases, names)
    with Worker(target) as made.worker:
        yield made


class TestLocal(Conformance):
    """This machine."""


def test_an_environment_of_packages_is_made_before_others_have_to_wait(target, names, monkeypatch):
    free = []

    def python_for(self, release):
        try:
            with environment_lock(self.folder, seconds=0.0):
                free.append(True)
        except OutsideError:
            free.append(False)
        return Path(sys.executable)

    monkeypatch.setattr(LocalTarget, "python_for", python_for)
    target.move(order(names[0]))
    assert free[0], "the first to ask makes it; the others find it there"


def test_one_that_cannot_be_made_is_told_once_and_nothing_moves(target, names, monkeypatch):
    def python_for(self, release):
        raise DeploymentFailed("no package index is reached", next_step="")

    target.move(order(names[0]))
    monkeypatch.setattr(LocalTarget, "python_for", python_for)
    for action, expected in (("deploy", DeploymentFailed), ("rollback", RollbackFailed)):
        with pytest.raises(expected, match="no package index"):
            target.move(order(names[1], action))
    assert live(target) == names[0]
    assert [one.outcome[:6] for one in target.history("fraud")] == ["done", "failed", "failed"]


def test_features_are_published_before_the_release_is_live(target, names):
    seen = []
    target.move(order(names[0]))
    target.move(order(names[1]), prepare=lambda manifest, online: seen.append((manifest.release, online, live(target))))
    assert seen == [(names[1], target.online, names[0])]


def test_a_worker_takes_the_release_over(target, names):
    target.move(order(names[0]))
    with Worker(target):
        assert target.move(order(names[1])).workers == 1
        assert set(target.health("fraud").serving.values()) == {names[1]}


def test_the_pointer_goes_back_when_a_worker_refuses_the_release(target, names):
    """Promise 9."""
    target.move(order(names[0], reason="good"))
    with Worker(target, refuses=names[1:2]):
        with pytest.raises(DeploymentFailed, match="golden requests"):
            target.move(order(names[1]))
        assert set(target.health("fraud").serving.values()) == {names[0]}
    standing = target.standing("fraud")
    assert (standing.live, standing.previous, standing.reason) == (names[0], None, "good")
    assert [event.outcome[:6] for event in target.history("fraud")] == ["done", "failed"]


def test_the_pointer_goes_back_when_a_worker_says_nothing(target, names):
    target.move(order(names[0]))
    folder = target.folder / "fraud"
    quick = LocalTarget(target.folder, target.releases, patience=0.1, rehearses=False)
    with being_a_worker(folder):
        write_ack(folder, Ack(pid=os.getpid(), generation=1, serving=names[0], ok=True))
        with pytest.raises(DeploymentFailed, match="0 of 1 workers"):
            quick.move(order(names[1]))
    assert live(target) == names[0]


def test_a_deployer_killed_after_the_move_is_remembered_by_the_next(target, names):
    """Promise 12."""
    target.move(order(names[0]))
    target.move(order(names[1], reason="killed"))
    lines = (target.folder / "fraud" / "events.jsonl").read_bytes().splitlines(keepends=True)
    (target.folder / "fraud" / "events.jsonl").write_bytes(lines[0])
    target.move(order(names[2]))
    assert [event.to for event in target.history("fraud")] == names
    assert target.history("fraud")[1].reason == "killed"


def test_a_hundred_rollbacks_end_where_they_should(target, names):
    """Promise 8: to N-1, N-2 and forward, byte-identical each time."""
    for name in names:
        target.move(order(name))
    for turn in range(100):
        wanted = names[turn % 3]
        target.move(order(wanted, "rollback"))
        assert live(target) == wanted
    assert all(event.outcome == "done" for event in target.history("fraud"))


def test_a_release_whose_features_are_not_online_is_refused_before_anything_moves(target, names):
    target.move(order(names[0]))
    reading = make_release(target.releases, contract("fraud_v7"))
    with pytest.raises(RollbackFailed, match="customer_spend_v1"):
        target.move(order(reading, "rollback"))
    assert live(target) == names[0]
    target.move(order(reading), prepare=lambda manifest, online: publish_customers(online))
    assert live(target) == reading
