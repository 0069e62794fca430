"""The peak of a step is what was resident while it ran: in this process, and in those below it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mlops.adapters.memory import Meter

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system has no /proc")

MEGABYTE = 1_000_000


def test_what_a_step_holds_for_a_moment_is_in_its_peak_and_not_in_the_next_ones():
    with Meter() as before:
        pass
    with Meter() as during:
        held = bytearray(400 * MEGABYTE)  # touched: zero pages alone would not be resident
        held[::4096] = b"x" * len(held[::4096])
        del held
    with Meter() as after:
        pass
    assert during.peak.own > before.peak.own + 350 * MEGABYTE
    assert after.peak.own < during.peak.own - 200 * MEGABYTE


BELOW = """
import subprocess, sys, time
from mlops.adapters.memory import Meter

hold = "b = bytearray(150_000_000); b[::4096] = b'x' * len(b[::4096]); print('held', flush=True); input()"
with Meter() as meter:
    below = [
        subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    for one in below:
        assert one.stdout.readline() == b"held\\n"
    time.sleep(1)  # some looks, also on a busy machine
    for one in below:
        one.communicate(b"\\n")
print(meter.peak.own, meter.peak.children)
"""


def test_the_processes_below_are_counted_together_and_apart():
    """In a process of its own: this one may have servers of other tests below it."""
    ran = subprocess.run([sys.executable, "-c", BELOW], capture_output=True, text=True, check=True)
    own, children = map(int, ran.stdout.split())
    assert 300 * MEGABYTE < children < 600 * MEGABYTE
    assert own < 200 * MEGABYTE


def test_steps_side_by_side_are_measured_each_from_its_beginning():
    with Meter() as outer:
        with Meter() as inner:
            pass
        held = bytearray(300 * MEGABYTE)
        held[::4096] = b"x" * len(held[::4096])
    assert outer.peak.own > inner.peak.own + 200 * MEGABYTE


def test_nothing_looks_when_nothing_is_measured():
    with Meter():
        pass
    for thread in threading.enumerate():
        if thread.name == "memory":
            thread.join(5)
            assert not thread.is_alive()
