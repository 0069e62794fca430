"""PROMISES 25: `mlops run` with nothing to do beside `dvc repro` with nothing to do.

DVC runs in an environment of its own, with one stage for each of our steps on the same table. Both have run before,
nothing has changed, and they take turns. The long way, which we go when any file was touched, is told beside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.ratio import Ratio, alternating
from tests import small

_ROUNDS = 5
_DVC = "dvc==3.67.1"
_STEPS = ("snapshot", "check-features", "check-data", "assemble", "train", "check-table", "check-model", "package")


def measure() -> list[Ratio]:
    """The medians of five runs each, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        ours, dvc = _ours(Path(folder) / "ours"), _dvc(Path(folder) / "dvc")
        short, theirs = alternating(ours, dvc, rounds=_ROUNDS)
        long, beside = alternating(_touched(ours, Path(folder) / "ours"), dvc, rounds=_ROUNDS)
    return [
        Ratio("25", "mlops run / dvc repro, nothing to do", short, theirs, 0.3),
        Ratio("-", "mlops run / dvc repro, a file was touched", long, beside, float("inf")),
    ]


def _ours(root: Path):
    small.churn(root)
    run = _command([sys.executable, "-m", "mlops", "run"], root)
    for _ in range(2):  # the first computes, the second finds that there is nothing to do
        run()
    return run


def _touched(run, root: Path):
    def touched() -> None:
        (root / "customers.csv").touch()
        run()

    return touched


def _dvc(root: Path):
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    root.mkdir()
    python = root.parent / "dvc-environment" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", str(python.parents[1])], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), _DVC], check=True)
    small.customers().to_csv(root / "0.csv", index=False)
    stages = "".join(
        f"  {name}: {{cmd: cp {place}.csv {place + 1}.csv, deps: [{place}.csv], outs: [{place + 1}.csv]}}\n"
        for place, name in enumerate(_STEPS)
    )
    (root / "dvc.yaml").write_text(f"stages:\n{stages}")
    dvc = str(python.with_name("dvc"))
    for words in (["git", "init", "--quiet"], [dvc, "init", "--quiet"], [dvc, "repro", "--quiet"]):
        _command(words, root)()
    return _command([dvc, "repro"], root)


def _command(words: list[str], root: Path):
    variables = {**small.variables(), "DVC_NO_ANALYTICS": "1", "PYTHONPATH": os.pathsep.join([str(Path.cwd())])}

    def run() -> None:
        subprocess.run(words, cwd=root, env=variables, check=True, capture_output=True)

    return run
