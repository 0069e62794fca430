"""A Python environment with exact packages, made by uv: from its cache in seconds, else from the package index."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from mlops.errors import OutsideError

_SECONDS = 900


def make(folder: Path, packages: Mapping[str, str], python: str) -> Path:
    """The interpreter of a new environment in `folder`; OutsideError with uv's words where one cannot be had."""
    wanted = folder.with_name(f"{folder.name}.txt")
    wanted.write_text("".join(f"{name}=={version}\n" for name, version in packages.items()), encoding="utf-8")
    _uv("venv", "--quiet", "--python", python, str(folder))
    interpreter = folder / "bin" / "python"
    if not interpreter.exists():
        interpreter = folder / "Scripts" / "python.exe"
    # Exactly what was there: nothing is resolved, so nothing else can be chosen.
    _uv("pip", "install", "--quiet", "--no-deps", "--python", str(interpreter), "--requirements", str(wanted))
    return interpreter


def _uv(*arguments: str) -> None:
    import uv

    try:
        done = subprocess.run(
            [uv.find_uv_bin(), *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OutsideError(
            f"uv {arguments[0]} did not come to its end: {error}",
            next_step="try again, or compare in this environment: --here",
        ) from error
    if done.returncode:
        said = " ".join(done.stderr.split()[-60:]) if done.stderr else f"exit code {done.returncode}"
        raise OutsideError(
            f"the recorded environment cannot be made: {said}",
            next_step="give uv an index that still has these packages, or compare in this environment: --here",
        )
