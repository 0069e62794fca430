"""What every target must do, whatever it moves: a place's own tests inherit these, and say how to look at the place.

A `Place` is what a target needs around it: the target, three releases, what answers there now, and how to break one.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlops.errors import DeploymentFailed, RollbackFailed
from mlops.release import PAYLOAD
from mlops.targets.protocol import Order, Target
from tests.serving.releases import contract, make_release


@dataclass
class Place(ABC):
    target: Target
    releases: Path
    names: list[str]
    answered: list[str] = field(default_factory=list)

    @abstractmethod
    def answering(self) -> str:
        """The release that answers requests there now; empty where none does."""

    @abstractmethod
    def spoil(self, release: str) -> None:
        """From now on this release never becomes ready there."""

    @abstractmethod
    def killed_while_moving(self, order: Order) -> None:
        """Begin the order, and die after the place has heard of it, before this side has."""


def three_releases(folder: Path) -> list[str]:
    return [make_release(folder, contract(f"fraud_v{n}", computed=False, stored=False)) for n in (1, 2, 3)]


def order(release: str, action: str = "deploy", reason: str = "") -> Order:
    return Order(action=action, family="fraud", release=release, who="me", reason=reason)


class Killed(BaseException):
    """What a kill is to a process: nothing catches it."""


def killed_at(owner: type, method: str, act: Callable[[], object]) -> None:
    """Do something, and die where `method` of `owner` would be called."""

    def die(*_: object, **__: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(owner, method, die)
        with pytest.raises(Killed):
            act()


class Conformance:
    """Inherit it, and give a fixture `place`."""

    def test_a_deployed_release_answers_and_the_history_says_who_and_why(self, place):
        moved = place.target.move(order(place.names[0], reason="first"))
        assert moved.changed
        assert place.answering() == place.names[0]
        standing = place.target.standing("fraud")
        assert (standing.live, standing.previous, standing.who, standing.reason) == (
            place.names[0],
            None,
            "me",
            "first",
        )
        (event,) = place.target.history("fraud")
        assert (event.action, event.to, event.previous, event.outcome) == ("deploy", place.names[0], "", "done")
        assert place.target.families() == ("fraud",)

    def test_the_same_order_again_changes_nothing(self, place):
        place.target.move(order(place.names[0]))
        place.target.move(order(place.names[1]))
        assert place.target.move(order(place.names[0], "rollback")).changed
        assert not place.target.move(order(place.names[0], "rollback")).changed
        assert len(place.target.history("fraud")) == 3
        assert place.answering() == place.names[0]

    def test_rollbacks_go_back_through_what_was_live_and_never_to_what_was_refused(self, place):
        first, second, third = place.names
        for name in place.names:
            place.target.move(order(name))
        for wanted, previous in ((second, first), (first, None), (third, first)):
            place.target.move(order(wanted, "rollback"))
            standing = place.target.standing("fraud")
            assert (place.answering(), standing.live, standing.previous) == (wanted, wanted, previous)

    @pytest.mark.parametrize("harm", ["flip", "add", "remove", "rename"])
    @pytest.mark.parametrize("action", ["deploy", "rollback"])
    def test_a_release_that_is_not_whole_is_refused_before_anything_moves(self, place, action, harm):
        """Promise 10."""
        place.target.move(order(place.names[0]))
        pointer = place.target.folder / "fraud" / "pointer.json"
        before = pointer.read_bytes()
        file = place.releases / place.names[1] / PAYLOAD / "model.onnx"
        if harm == "flip":
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        elif harm == "add":
            (file.parent / "new").write_text("")
        elif harm == "remove":
            file.unlink()
        else:
            file.rename(file.with_name("model2.onnx"))
        expected = DeploymentFailed if action == "deploy" else RollbackFailed
        with pytest.raises(expected, match="not whole"):
            place.target.move(order(place.names[1], action))
        with pytest.raises(expected, match="not whole"):
            place.target.preview(order(place.names[1], action))
        assert pointer.read_bytes() == before
        assert place.answering() == place.names[0]
        assert place.answered.count(place.names[1]) == 0
        assert place.target.history("fraud")[-1].outcome.startswith("failed: ")

    @pytest.mark.parametrize("action", ["deploy", "rollback"])
    def test_a_release_that_never_gets_ready_gets_no_request_and_the_pointer_stays(self, place, action):
        """Promise 9."""
        place.target.move(order(place.names[0], reason="good"))
        place.spoil(place.names[1])
        with pytest.raises(DeploymentFailed if action == "deploy" else RollbackFailed) as caught:
            place.target.move(order(place.names[1], action))
        assert caught.value.exit_code == (5 if action == "deploy" else 6)
        assert place.names[0] in caught.value.message
        assert caught.value.next_step
        assert place.answering() == place.names[0]
        standing = place.target.standing("fraud")
        assert (standing.live, standing.previous, standing.reason) == (place.names[0], None, "good")
        assert [event.outcome[:6] for event in place.target.history("fraud")] == ["done", "failed"]
        assert place.target.move(order(place.names[2])).changed
        assert place.answering() == place.names[2]

    def test_a_release_whose_features_cannot_be_published_does_not_go_live(self, place):
        def prepare(manifest, online):
            raise DeploymentFailed("no features", next_step="")

        place.target.move(order(place.names[0]))
        with pytest.raises(DeploymentFailed, match="no features"):
            place.target.move(order(place.names[1]), prepare=prepare)
        assert place.answering() == place.names[0]

    def test_a_deployer_killed_in_the_middle_is_made_good_by_the_next_order(self, place):
        """Promise 12."""
        first, second, third = place.names
        place.target.move(order(first))
        place.killed_while_moving(order(second))
        place.target.move(order(first))  # it may be what the pointer says; it must be what answers
        assert (place.answering(), place.target.standing("fraud").live) == (first, first)
        assert place.target.health("fraud").troubles == {}
        place.killed_while_moving(order(third))
        place.target.move(order(third))
        assert (place.answering(), place.target.standing("fraud").live) == (third, third)

    def test_a_preview_touches_nothing(self, place):
        place.target.move(order(place.names[0]))
        before = _files(place.target.folder)
        text = place.target.preview(order(place.names[1]))
        assert place.names[1] in text
        assert _files(place.target.folder) == before
        assert place.answering() == place.names[0]

    def test_what_is_retained_begins_with_what_is_live(self, place):
        for name in place.names:
            place.target.move(order(name))
        assert place.target.retained("fraud") == tuple(reversed(place.names))
        shutil.rmtree(place.releases / place.names[0])
        assert place.target.retained("fraud")[0] == place.names[2]


def _files(folder: Path) -> dict[str, bytes]:
    """All that is kept, but for locks and what living workers say."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "workers" not in path.parts and path.name != ".lock"
    }
