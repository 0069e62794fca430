"""Work in processes of their own: all of it, once, and nothing left behind when it ends before its time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mlops.adapters import processes
from mlops.errors import OutsideError
from tests.small import variables

WAITING = """
import sys, time, os
from mlops.adapters import processes
from tests.adapters.test_processes import slow

if __name__ == "__main__":
    for done in processes.each(slow, [0.0, 60.0, 60.0], workers=2):
        print("begun", flush=True)
"""


def square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def slow(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def killed(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def printed(text: str) -> int:
    sys.stdout.write(text)
    sys.stdout.flush()
    return os.getpid()


def test_every_value_is_worked_on_once_and_by_others():
    found = list(processes.each(square, range(20), workers=2))
    assert sorted(value for value, _ in found) == [n * n for n in range(20)]
    workers = {pid for _, pid in found}
    assert os.getpid() not in workers
    assert len(workers) <= 2
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in workers)


def test_a_process_that_the_system_kills_is_told_and_not_waited_for():
    with pytest.raises(OutsideError, match="one of 2 processes was killed, most likely for want of memory"):
        list(processes.each(killed, range(20), workers=2))


def test_who_stops_early_does_not_wait_for_the_rest():
    began = time.monotonic()
    results = processes.each(slow, [0.0, 60.0, 60.0], workers=2)
    next(results)
    results.close()
    assert time.monotonic() - began < 40


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_one_that_started_them(how):
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING],
        env=variables(PYTHONPATH=str(Path.cwd())),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.send_signal(how)
    process.wait(30)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_what_the_users_code_prints_stays_out_of_the_report(capfd):
    list(processes.each(printed, ["a", "b"], workers=2))
    told = capfd.readouterr()
    assert told.out == ""
    assert "a" in told.err
