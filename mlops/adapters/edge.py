"""A model for a device: its ONNX file, its contract and a program that answers with onnxruntime and numpy alone.

Whether the program really needs no more is found out by running it where nothing else can be imported.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from mlops.errors import GateFailed

RUNNER = "run.py"
NEEDED = ("onnxruntime", "numpy")

_SECONDS = 600.0
_BOOT = "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_path(sys.argv.pop(1), run_name='__main__')"


def runner() -> bytes:
    """The program's text."""
    return files("mlops").joinpath("templates", "edge_run.py.template").read_bytes()


def asked(folder: Path, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the program in `folder` answers, run by a bare interpreter that sees onnxruntime and numpy only.

    GateFailed with its last words where it ends early.
    """
    lines = "".join(f"{json.dumps(one)}\n" for one in requests)
    with tempfile.TemporaryDirectory(prefix="mlops-edge-") as alone:
        for package in NEEDED:
            _lend(package, Path(alone))
        # -I -S: no site-packages, no variables, no working directory
        ended = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", _BOOT, alone, str(folder / RUNNER)],
            input=lines, capture_output=True, text=True, encoding="utf-8", timeout=_SECONDS, check=False,
        )  # fmt: skip
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise GateFailed(
            f"{RUNNER} ended with code {ended.returncode}: {last}",
            next_step=f"it must run with {' and '.join(NEEDED)} alone; look at their versions",
        )
    return [json.loads(line) for line in ended.stdout.splitlines()]


def _lend(package: str, folder: Path) -> None:
    """Make a package importable in `folder`, with the libraries that a wheel keeps beside it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise GateFailed(f"{package} is not installed", next_step=f"install {package}")
    place = Path(spec.origin).parent
    for path in (place, place.with_name(f"{package}.libs")):
        if path.exists():
            (folder / path.name).symlink_to(path, target_is_directory=True)
