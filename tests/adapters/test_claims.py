"""One machine of a team computes a key and the others wait, as long as it lives; nothing but time hangs on it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from mlops.adapters import claims
from mlops.adapters.claims import Claims, Pace
from mlops.adapters.shared import FilePlace

QUICK = Pace(beat=0.05, still=0.4, look=0.05, patience=20.0)
KEY = "ab" * 32


def never():
    return False


@pytest.fixture
def place(tmp_path):
    return FilePlace(str(tmp_path / "bucket"))


@contextmanager
def member(place, who="ann@laptop", pace=QUICK):
    mine = Claims(place, who, pace=pace)
    try:
        yield mine
    finally:
        mine.close()


@pytest.fixture
def elsewhere(monkeypatch):
    """Each asks as another machine does, which cannot look whether a process lives."""
    numbers = iter(range(1000))
    monkeypatch.setattr(claims, "machine", lambda: f"machine {next(numbers)}")


def test_who_waits_is_told_for_whom_and_takes_it_when_it_is_free(place):
    told = []
    with member(place) as first, member(place, "bob@runner") as second:
        assert first.take(KEY, never)
        waiting = threading.Thread(target=lambda: told.append(second.take(KEY, never, told.append)))
        waiting.start()
        waiting.join(0.5)
        assert told == ["ann@laptop"]
        first.release(KEY)
        waiting.join(5)
    assert told == ["ann@laptop", True]
    assert place.names("claims") == []


def test_who_waited_takes_nothing_where_the_result_is_there(place):
    with member(place) as first, member(place) as second:
        assert first.take(KEY, never)
        threading.Timer(0.2, first.release, [KEY]).start()
        assert not second.take(KEY, lambda: True)
        assert place.names("claims") == []


def test_another_key_is_not_waited_for(place):
    with member(place) as first, member(place) as second:
        assert first.take(KEY, never)
        assert second.take("cd" * 32, never)


def test_eight_machines_in_turn_are_never_two_at_once(place, elsewhere):
    """Promise 13, across machines: their claims meet at the same moment again and again."""
    inside, most, held, lock = 0, 0, 0, threading.Lock()
    together = threading.Barrier(8)
    patient = Pace(beat=0.5, still=30.0, look=0.01, patience=60.0)

    def work():
        nonlocal inside, most, held
        with member(place, pace=patient) as mine:
            for _ in range(3):
                together.wait()
                assert mine.take(KEY, never)
                with lock:
                    inside += 1
                    held += 1
                    most = max(most, inside)
                time.sleep(0.002)
                with lock:
                    inside -= 1
                mine.release(KEY)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, held) == (1, 24)


HOLDER = """
import sys, time
from mlops.adapters.claims import Claims
from mlops.adapters.shared import FilePlace
assert Claims(FilePlace(sys.argv[1]), "killed").take(sys.argv[2], lambda: False)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def killed(tmp_path):
    """A claim whose holder was killed."""
    words = [sys.executable, "-c", HOLDER, str(tmp_path / "bucket"), KEY]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()


def test_a_claim_dies_with_its_process_on_the_same_machine(killed, place):
    """Promise 13: a dead holder's lock is free in one second."""
    slow = Pace(still=60.0)
    with member(place, pace=slow) as mine:
        began = time.monotonic()
        assert mine.take(KEY, never)
        assert time.monotonic() - began < 1


def test_elsewhere_it_is_passed_over_when_it_has_stood_still(killed, place, elsewhere):
    with member(place) as mine:
        began = time.monotonic()
        assert mine.take(KEY, never)
        assert time.monotonic() - began > QUICK.still


def test_a_claim_that_is_renewed_is_waited_for_however_long_it_takes(place, elsewhere):
    with member(place) as first, member(place) as second:
        assert first.take(KEY, never)
        threading.Timer(4 * QUICK.still, first.release, [KEY]).start()
        began = time.monotonic()
        assert second.take(KEY, never)
        assert time.monotonic() - began > 3 * QUICK.still


def test_the_wait_is_bounded_and_ends_with_the_run(place, elsewhere):
    impatient = Pace(beat=0.05, still=60.0, look=0.05, patience=0.3)
    with member(place) as first, member(place, pace=impatient) as second, member(place) as third:
        assert first.take(KEY, never)
        assert not second.take(KEY, never)
        threading.Timer(0.2, third.stop_waiting).start()
        assert not third.take(KEY, never)
        assert len(place.names("claims")) == 1


@pytest.mark.parametrize(("wrong", "waits"), [(-7200.0, False), (7200.0, True), (-60.0, True)])
def test_a_clock_that_is_wrong_makes_nobody_wait_for_ever(place, elsewhere, monkeypatch, wrong, waits):
    """What was left long ago is not waited for; else a claim is watched by the clock of who waits, whatever it says."""
    now = time.time
    monkeypatch.setattr(claims.time, "time", lambda: now() + wrong)
    with member(place) as left:
        left._put(KEY, left._me)  # and never again
    monkeypatch.setattr(claims.time, "time", now)
    with member(place) as mine:
        began = time.monotonic()
        assert mine.take(KEY, never)
        assert (time.monotonic() - began > QUICK.still) == waits


def test_a_claim_that_cannot_be_read_is_none(place):
    place.write(f"claims/{KEY}-x", b"{")
    with member(place) as mine:
        assert mine.take(KEY, never)
        assert len(place.names("claims")) == 1


def test_who_may_only_read_claims_nothing_and_goes_on(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with member(FilePlace(str(tmp_path / "file"))) as mine:
        assert not mine.take(KEY, never)
        assert not mine.take(KEY, never)


def test_processes_that_see_each_other_are_on_one_machine():
    asked = [sys.executable, "-c", "from mlops.adapters.claims import machine; print(machine())"]
    same = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    assert same == claims.machine()
    assert os.uname().nodename in same or not same
