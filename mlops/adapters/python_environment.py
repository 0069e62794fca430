"""Python environments that uv makes out of exact pins: each in a folder that is named by what is in it, made once.

The package `mlops` itself is a link in them to the one that runs: workers of all environments speak one protocol.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlops.adapters.files import disk_errors
from mlops.adapters.lock import locked
from mlops.errors import OutsideError

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The version of Python that runs."""

_SECONDS = 900.0
_DIGITS = 16
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""What would lend one environment the packages of another."""


def interpreter(home: Path, pins: Sequence[str], *, python: str = "", seconds: float = _SECONDS) -> Path:
    """The `python` of the environment below `home` with exactly these requirements; made now where it is not there.

    OutsideError where uv cannot make it (a package that is in no index that it reaches), and nothing is left behind.
    """
    folder = place(home, pins, python=python)
    if not folder.exists():
        with locked(home / f".{folder.name}.lock", "the environment is being made", seconds=seconds):
            if not folder.exists():
                _make(folder, pins, python or HERE, seconds)
    found = folder / "bin" / "python"
    _lend_ours(folder)
    return found


def place(home: Path, pins: Sequence[str], *, python: str = "") -> Path:
    """The folder of the environment below `home`, whether it is there or not."""
    content = "\n".join([python or HERE, *sorted(pins)])
    return home / hashlib.sha256(content.encode()).hexdigest()[:_DIGITS]


def variables(given: Mapping[str, str], python: Path) -> dict[str, str]:
    """The variables under which another environment's `python` sees its own packages alone."""
    if python == Path(sys.executable):
        return dict(given)
    return {name: value for name, value in given.items() if name not in _FOREIGN}


def _make(folder: Path, pins: Sequence[str], version: str, seconds: float) -> None:
    import uv

    base = sys.executable if version == HERE else version
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
        try:
            listing = made / "requirements.txt"
            listing.write_text("".join(f"{pin}\n" for pin in sorted(pins)), encoding="utf-8")
            program = uv.find_uv_bin()
            # Relocatable, because it gets its name when it is whole. The pins are everything, so nothing is resolved.
            _run(
                [program, "venv", "--quiet", "--allow-existing", "--relocatable", "--python", base, str(made)], seconds
            )
            install = [
                program,
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--compile-bytecode",
                "--python",
                str(made / "bin" / "python"),
            ]
            _run([*install, "--requirement", str(listing)], seconds)
            made.rename(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def _run(command: list[str], seconds: float) -> None:
    own = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    try:
        done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        said = f"not within {seconds:g} seconds"
    else:
        if done.returncode == 0:
            return
        said = " ".join(done.stderr.split())[-400:] or f"uv ended with code {done.returncode}"
    raise OutsideError(
        f"the packages of the release could not be installed: {said}",
        next_step="let this machine reach a package index that has them (uv reads its own settings), then run again",
    )


def _lend_ours(folder: Path) -> None:
    """Link the package `mlops` that runs into the environment, which may have been made under an older one."""
    import mlops

    ours = Path(mlops.__file__).resolve().parent
    [packages] = folder.glob("lib/python*/site-packages")
    link = packages / "mlops"
    if link.is_symlink() and link.readlink() == ours:
        return
    fresh = packages / f".mlops-{os.getpid()}"
    fresh.symlink_to(ours, target_is_directory=True)
    fresh.replace(link)
