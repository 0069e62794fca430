from __future__ import annotations

from dataclasses import replace

from mlops.release import Event
from mlops.targets import history


def event(number):
    return Event(
        at=f"2026-01-01T00:00:0{number}", action="deploy", environment="staging", family="fraud", to=f"r{number}",
        previous="", who="me", reason="", outcome="done", seconds=1.0,
    )  # fmt: skip


def test_events_are_kept_in_order(tmp_path):
    for number in range(3):
        history.append(tmp_path, event(number))
    assert history.read(tmp_path) == tuple(event(n) for n in range(3))


def test_a_torn_line_costs_no_other(tmp_path):
    history.append(tmp_path, event(0))
    with (tmp_path / history.EVENTS).open("ab") as file:
        file.write(b'{"at":"2026')
    history.append(tmp_path, event(1))
    assert history.read(tmp_path) == (event(0), event(1))


def test_the_ledger_gets_each_event_once_and_in_order_however_often_it_is_down(tmp_path):
    for number in range(3):
        history.append(tmp_path, event(number))
    taken = []

    def ledger(one):
        if len(taken) == 1 and not up:
            return False
        taken.append(one.to)
        return True

    up = False
    assert history.record(tmp_path, ledger) == 1
    assert [e.recorded for e in history.read(tmp_path)] == [True, False, False]
    up = True
    assert history.record(tmp_path, ledger) == 2
    assert taken == ["r0", "r1", "r2"]
    assert history.unrecorded(tmp_path) == ()
    history.append(tmp_path, event(3))
    assert history.unrecorded(tmp_path) == (replace(event(3), recorded=False),)
