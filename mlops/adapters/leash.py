"""Runs a program that ends when its parent does, however that ends: `python -m mlops.adapters.leash PID COMMAND …`.

`PID` is the parent's. Linux sends SIGTERM to the program when the parent is gone, killed outright included; elsewhere
nothing is promised.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2): kept across exec


def leashed(command: list[str]) -> list[str]:
    """The command line that runs `command` on a leash of this process.

    It is the starting thread that Linux watches: start it in one that lives as long as the program is wanted.
    """
    return [sys.executable, "-m", "mlops.adapters.leash", str(os.getpid()), *command]


def _main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the leash was on
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606  # no shell is wanted: the same process goes on as the program


if __name__ == "__main__":
    _main()
