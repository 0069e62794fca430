from __future__ import annotations

import os
import shutil
import threading
import time

import pytest

from mlops.errors import DeploymentFailed, RollbackFailed
from mlops.serving.pointer import Ack, being_a_worker, read_pointer, write_ack
from mlops.targets.local import LocalTarget
from mlops.targets.protocol import Order
from tests.serving.releases import contract, make_release, publish_customers


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    releases = tmp_path_factory.mktemp("made")
    plain = {"computed": False, "stored": False}
    return releases, [make_release(releases, contract(f"fraud_v{n}", **plain)) for n in (1, 2, 3)]


@pytest.fixture
def names(originals):
    return originals[1]


@pytest.fixture
def target(originals, tmp_path):
    releases = shutil.copytree(originals[0], tmp_path / "releases")
    return LocalTarget(tmp_path / "environments" / "staging", releases, patience=2.0)


def order(release, action="deploy", reason=""):
    return Order(action=action, family="fraud", release=release, who="me", reason=reason)


def live(target):
    return target.standing("fraud").live


class Worker:
    """Answers a pointer as a worker would, without a server."""

    def __init__(self, target, refuses=()):
        self.folder = target.folder / "fraud"
        self.refuses = refuses
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        while not list(self.folder.glob("workers/ack-*")):
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
                ok = pointer.live not in self.refuses
                serving = pointer.live if ok else serving
                error = "" if ok else "it does not answer its golden requests"
                write_ack(
                    self.folder,
                    Ack(pid=os.getpid(), generation=pointer.generation, serving=serving, ok=ok, error=error),
                )
                time.sleep(0.01)


def test_a_deployed_release_is_live_and_its_history_says_who_and_why(target, names):
    moved = target.move(order(names[0], reason="first"))
    assert moved.changed
    assert moved.workers == 0
    standing = target.standing("fraud")
    assert (standing.live, standing.previous, standing.who, standing.reason) == (names[0], None, "me", "first")
    (event,) = target.history("fraud")
    assert (event.action, event.to, event.previous, event.outcome) == ("deploy", names[0], "", "done")


def test_deploying_what_is_live_changes_nothing(target, names):
    target.move(order(names[0]))
    assert not target.move(order(names[0])).changed
    assert len(target.history("fraud")) == 1


def test_rollbacks_go_back_through_what_was_live_and_never_to_what_was_refused(target, names):
    for name in names:
        target.move(order(name))
    assert target.standing("fraud").previous == names[1]
    target.move(order(names[1], "rollback"))
    assert (live(target), target.standing("fraud").previous) == (names[1], names[0])
    target.move(order(names[0], "rollback"))
    assert (live(target), target.standing("fraud").previous) == (names[0], None)
    target.move(order(names[2], "rollback"))
    assert (live(target), target.standing("fraud").previous) == (names[2], names[0])


@pytest.mark.parametrize("harm", ["flip", "add", "remove", "rename"])
@pytest.mark.parametrize("action", ["deploy", "rollback"])
def test_a_release_that_is_not_whole_is_refused_before_anything_moves(target, names, action, harm):
    """Promise 10."""
    target.move(order(names[0]))
    before = (target.folder / "fraud" / "pointer.json").read_bytes()
    file = target.releases / names[1] / "bento" / "src" / "release" / "model.onnx"
    if harm == "flip":
        file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    elif harm == "add":
        (file.parent / "new").write_text("")
    elif harm == "remove":
        file.unlink()
    else:
        file.rename(file.with_name("model2.onnx"))
    with pytest.raises(DeploymentFailed if action == "deploy" else RollbackFailed, match="not whole"):
        target.move(order(names[1], action))
    assert (target.folder / "fraud" / "pointer.json").read_bytes() == before
    assert target.history("fraud")[-1].outcome.startswith("failed: ")


def test_features_are_published_before_the_release_is_live(target, names):
    seen = []
    target.move(order(names[0]))
    target.move(order(names[1]), prepare=lambda manifest, online: seen.append((manifest.release, online, live(target))))
    assert seen == [(names[1], target.online, names[0])]


def test_a_release_whose_features_cannot_be_published_does_not_go_live(target, names):
    target.move(order(names[0]))

    def prepare(manifest, online):
        raise DeploymentFailed("no features", next_step="")

    with pytest.raises(DeploymentFailed, match="no features"):
        target.move(order(names[1]), prepare=prepare)
    assert live(target) == names[0]


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
    quick = LocalTarget(target.folder, target.releases, patience=0.1)
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
