"""PROMISES 26: the first `mlops run` of a model beside the script that a team writes by hand."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.ratio import Ratio
from mlops.adapters import deepchecks

ROOT = Path(__file__).parents[1]
NAIVE = Path(__file__).with_name("naive")
PROJECT = ("features", "models", "tests/features", "tests/conftest.py", "bentofile.yaml", "pyproject.toml")
ROUNDS = 2


def measure() -> list[Ratio]:
    """The median of two cold runs each, in turn; both use warm caches of packages and of bytecode."""
    ours, naive = [], []
    for _ in range(ROUNDS):
        naive.append(_seconds_of_the_script())
        ours.append(_seconds_of_run())
    return [Ratio("26", "first mlops run / the naive script", statistics.median(ours), statistics.median(naive), 0.6)]


def _seconds_of_run() -> float:
    with tempfile.TemporaryDirectory() as folder:
        for name in PROJECT:
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, target)
        return _timed([sys.executable, "-m", "mlops", "run", "fraud_v1"], cwd=folder)


def _seconds_of_the_script() -> float:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "checks.py"
        header = deepchecks.SCRIPT.read_text().partition("\n# ///\n")[0] + "\n# ///\n\n"
        script.write_text(header + (NAIVE / "checks.py").read_text())
        command = [*deepchecks.command()[:-1], str(script)]
        subprocess.run([*command, "--no-such-folder"], capture_output=True, check=False)  # makes the environment
        return _timed([sys.executable, str(NAIVE / "script.py"), folder, *command], cwd=folder)


def _timed(command: list[str], *, cwd: str) -> float:
    # Alike for both: bytecode may be kept, and nobody waits for a server that counts users.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY"] = "True"
    started = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return time.perf_counter() - started
