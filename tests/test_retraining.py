"""Whether a retrain may begin, by what happened before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlops.config import Retrain
from mlops.release import Event
from mlops.retraining import attempts, standing

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def event(ago: float, outcome: str, who: str = "runner/1", action: str = "retrain") -> Event:
    """What happened `ago` hours before now."""
    return Event(
        at=(NOW - timedelta(hours=ago)).isoformat(),
        action=action,
        environment="production",
        family="churn",
        to="",
        previous="",
        who=who,
        reason="drift",
        outcome=outcome,
        seconds=1.0,
    )


def tried(ago: float, outcome: str, who: str = "runner/1") -> list[Event]:
    return [event(ago + 1, "begun", who), event(ago, outcome, who)]


def said(*events: Event, me: str = "runner/9", **settings: object) -> str:
    return standing(events, Retrain(**settings), now=NOW, me=me).say


def test_what_never_happened_stands_in_nobody_s_way():
    assert said() == "go"
    assert said(event(1, "done", action="deploy"), event(2, "failed: no", action="rollback")) == "go"


@pytest.mark.parametrize(("ago", "say"), [(24, "resting"), (167, "resting"), (169, "go")])
def test_after_one_that_ended_there_is_a_rest(ago, say):
    assert said(*tried(ago, "done"), cooldown="7d") == say
    assert said(*tried(ago, "failed: no"), cooldown="7d") == say


def test_while_one_runs_no_second_begins():
    running = standing([event(2, "begun")], Retrain(cooldown="1m"), now=NOW, me="runner/9")
    assert running.say == "running"
    assert "runner/1 began one at 2026-11-30 10:00 UTC, and it runs" in running.why


def test_one_that_was_killed_is_not_waited_for_beyond_the_longest_time_and_counts_as_failed():
    assert said(event(7, "begun"), longest="6h", cooldown="1m") == "go"
    killed = [event(hours, "begun", f"runner/{hours}") for hours in (40, 30, 20)]
    assert said(*killed, cooldown="1m") == "a person"


def test_the_process_that_was_killed_knows_it_at_once():
    assert said(event(0.5, "begun", "Ada@vm"), me="Ada@vm", cooldown="1m") == "go"


def test_after_three_failures_in_a_row_a_person_is_asked_and_one_success_forgets_them():
    failures = [one for ago in (300, 200, 100) for one in tried(ago, "failed: check-model said no")]
    asked = standing(failures, Retrain(cooldown="1m"), now=NOW)
    assert (asked.say, "check-model said no" in asked.why) == ("a person", True)
    assert said(*failures, cooldown="1m", failures=4) == "go"
    assert said(*failures, *tried(50, "done"), *tried(10, "failed: no"), cooldown="1m") == "go"


def test_an_event_that_is_read_from_two_places_counts_once():
    both = [*tried(10, "failed: no"), *tried(10, "failed: no")]
    assert len(attempts(both)) == 1


def test_two_that_ran_beside_each_other_are_told_apart_by_who_ran_them():
    mixed = [event(9, "begun", "a"), event(8, "begun", "b"), event(7, "done", "a"), event(6, "failed: no", "b")]
    assert [(one.who, one.outcome) for one in attempts(mixed)] == [("a", "done"), ("b", "failed: no")]
