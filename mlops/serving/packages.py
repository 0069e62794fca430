"""Which packages a release was judged with, and which Python on this machine has them.

A release whose packages are those of this process is hosted by it, beside others. One that was judged with others
gets workers of its own, in an environment that is made of its pins. What belongs to the server alone (BentoML and what
it needs) does not count: it cannot change an answer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from mlops.adapters import bento, python_environment
from mlops.errors import DeploymentFailed, OutsideError
from mlops.release import BENTO, MANIFEST
from mlops.serving.integrity import read_manifest

SHARED_VARIABLE = "MLOPS_SHARED_PACKAGES"
"""Where it is set, every release is hosted with the packages that are there, if it answers its golden requests."""

REQUIREMENTS = f"{BENTO}/env/python/requirements.txt"
HOME = "python"
"""The folder beside the releases in which their environments are."""

_MACHINERY = ("bentoml", "uvicorn", "httptools", "uvloop", "prometheus-client")
_ANSWERING = frozenset({"numpy", "pandas", "pyarrow", "scipy", "scikit-learn", "joblib", "onnxruntime", "msgspec"})
"""What computes answers, though the server needs it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """What a release was judged with: the version of Python ("": unknown), and requirements, most of them exact."""

    python: str
    pins: tuple[str, ...]


def packages(folder: Path) -> Packages:
    """What the release in `folder` asks for; nothing where it does not say."""
    file = folder / REQUIREMENTS
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    pins = tuple(sorted(text for line in lines if (text := line.partition("#")[0].strip())))
    python = read_manifest(folder).python if (folder / MANIFEST).is_file() else ""
    return Packages(python=python, pins=pins)


def lacking(wanted: Packages) -> tuple[str, ...]:
    """What this process has otherwise, in words: `numpy 2.4.5 (here 2.4.6)`; none where it can host the release."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    here = python_environment.HERE
    found = [f"Python {wanted.python} (here {here})"] if wanted.python not in ("", here) else []
    for pin in wanted.pins:
        need = Requirement(pin)
        name = canonicalize_name(need.name)
        if (need.marker is not None and not need.marker.evaluate()) or not _counts(name):
            continue
        version = _version(name)
        if version is None or not need.specifier.contains(version, prereleases=True):
            asked = str(need.specifier).removeprefix("==") or "any version"
            found.append(f"{need.name} {asked} (here {version or 'none'})")
    return tuple(found)


def python_for(releases: Path, release: str, *, shared: bool = False) -> Path:
    """The interpreter that is to host a release: this one, or that of an environment made of its pins.

    DeploymentFailed where it would need an environment that cannot be made.
    """
    wanted = packages(releases / release)
    other = () if shared else lacking(wanted)
    if not other:
        return Path(sys.executable)
    try:
        return python_environment.interpreter(releases.parent / HOME, wanted.pins, python=wanted.python)
    except OutsideError as error:
        raise DeploymentFailed(
            f"{release} was judged with {', '.join(other[:3])}{' …' if len(other) > 3 else ''}: {error.message}",
            next_step=f"{error.next_step}; or host it with the packages that are here, on the proof of its golden "
            f'requests: packages = "shared" in the environment\'s settings',
        ) from error


def unneeded(releases: Path, kept: Iterable[str]) -> list[Path]:
    """The environments that were made for releases, and that none of the `kept` ones needs."""
    home = releases.parent / HOME
    asked = [packages(releases / release) for release in kept]
    needed = {python_environment.place(home, one.pins, python=one.python) for one in asked}
    made = [path for path in sorted(home.glob("*")) if path.is_dir() and not path.name.startswith(".")]
    return [path for path in made if path not in needed]


@cache
def _machinery() -> frozenset[str]:
    return frozenset(pin.partition("==")[0] for pin in bento.locked(_MACHINERY)) - _ANSWERING


def _counts(name: str) -> bool:
    return name not in _machinery()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
