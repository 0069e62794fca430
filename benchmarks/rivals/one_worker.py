"""What `mlops serve` runs, once: `python -m benchmarks.rivals.one_worker PORT` is one of its workers on a socket."""

from __future__ import annotations

import os
import subprocess
import sys

from mlops.adapters import bentoserver
from mlops.serving.worker import SERVE


def main(port: int) -> None:
    """Until it is told to end, which ends the worker too: its stdin does."""
    with bentoserver.listening(bentoserver.LOOPBACK, port) as listener:
        number = listener.fileno()
        os.set_inheritable(number, True)  # noqa: FBT003 - the signature of os
        command = [sys.executable, "-P", "-m", "mlops.serving.worker", str(number)]
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(number,), text=True)
        assert worker.stdin is not None
        worker.stdin.write(SERVE)
        worker.stdin.flush()
        worker.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
