"""What an environment retains: what is live, and what it keeps for a rollback."""

from __future__ import annotations

import pytest

from mlops.serving.pointer import Pointer, write_pointer
from mlops.targets import history
from mlops.targets.local import LocalTarget
from mlops.targets.protocol import Order


@pytest.fixture
def target(tmp_path):
    return LocalTarget(tmp_path / "staging", tmp_path / "releases", keep=2)


def happened(target, *moves, live, outcome="done"):
    """Write a history of (action, release), and the pointer that it leads to."""
    for action, release in moves:
        order = Order(action=action, family="fraud", release=release, who="me", reason="")
        history.append(target.folder / "fraud", target._event(order, None, outcome, 0.0))
    write_pointer(target.folder / "fraud", Pointer(live=live))


def test_the_live_release_and_the_last_others_are_retained_newest_first(target):
    happened(target, *(("deploy", name) for name in ("a", "b", "c", "d")), live="d")
    assert target.retained("fraud") == ("d", "c", "b")


def test_a_release_that_was_live_twice_counts_once_by_its_last_time(target):
    happened(target, ("deploy", "a"), ("deploy", "b"), ("deploy", "c"), ("rollback", "a"), live="a")
    assert target.retained("fraud") == ("a", "c", "b"), "what was rolled back from can be deployed again"


def test_what_failed_to_go_live_is_not_retained(target):
    happened(target, ("deploy", "a"), live="a")
    happened(target, ("deploy", "b"), live="a", outcome="failed: it did not start")
    assert target.retained("fraud") == ("a",)


def test_what_a_rollback_would_return_to_is_retained_whatever_the_history_says(target):
    happened(target, live="d")
    write_pointer(target.folder / "fraud", Pointer(live="d", previous="c", older=("a", "b")))
    assert target.retained("fraud") == ("d", "c", "b", "a")


def test_a_release_that_was_given_up_is_retained_again_when_it_is_deployed_again(target):
    happened(target, ("deploy", "a"), ("deploy", "b"), live="b")
    target.retire("fraud", "a", who="me", reason="never again")
    assert target.retained("fraud") == ("b",)
    assert history.read(target.folder / "fraud")[-1].reason == "never again"
    happened(target, ("deploy", "a"), ("deploy", "b"), live="b")
    assert target.retained("fraud") == ("b", "a")


def test_where_nothing_was_deployed_nothing_is_retained(target):
    assert target.retained("fraud") == ()
