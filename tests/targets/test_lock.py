from __future__ import annotations

import subprocess
import sys

import pytest

from mlops.errors import OutsideError
from mlops.targets.lock import environment_lock

HOLDER = """
import sys, time
from pathlib import Path
from mlops.targets.lock import environment_lock
with environment_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_is_refused_while_held_and_free_when_its_holder_is_killed(tmp_path):
    """Promise 13."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(OutsideError, match=str(holder.pid)), environment_lock(tmp_path, seconds=0.1):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with environment_lock(tmp_path, seconds=1.0):
        pass
