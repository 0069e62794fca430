"""What a step's key is made of: code, inputs, parameters, environment and the step's own version.

Path, time, user, machine and the order of a dict do not matter, so the same work has the same key anywhere.
"""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

_RELEVANT = {
    "snapshot": ("pandas", "pyarrow"),
    "check-features": ("pandas", "numpy", "pytest"),
    "build-features": ("pandas", "numpy", "duckdb"),
    "assemble": ("pandas", "numpy", "duckdb"),
    "check-data": ("duckdb", "pandas", "pandera", "numpy", "scipy", "scikit-learn", "cleanlab"),
    "train": ("pandas", "numpy", "scipy", "scikit-learn", "joblib", "skops", "optuna"),
    "check-model": ("pandas", "numpy", "scipy", "scikit-learn", "skops", "fairlearn", "onnxruntime"),
    "package": ("bentoml", "numpy", "onnx", "onnxruntime", "pandas", "protobuf", "scikit-learn", "skl2onnx", "skops"),
    "check-service": ("bentoml", "onnxruntime", "numpy", "pandas", "scipy"),
}
"""The packages whose versions can change a step's result, whatever the user's code is."""

_BUILDING = ("snapshot", "build-features", "assemble", "train", "package")
"""The steps that a prediction comes of; a gate's libraries decide whether there is a release, not what it answers."""

_CALLED = {"sklearn": "scikit-learn"}
"""A distribution that every project has, and that is called otherwise than its module."""


_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def key_of(step: str, ingredients: Mapping[str, Any]) -> str:
    """The sha256 over the step's name, its ingredients and the versions of the packages it truly uses."""
    whole = {"step": step, "environment": environment(step), **ingredients}
    return hashlib.sha256(msgspec.json.encode(whole, order="deterministic", enc_hook=str)).hexdigest()


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, however deep: among them the digests that ingredients are made of."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)


@cache
def environment(step: str) -> dict[str, str]:
    """Versions of the packages that matter to a step; missing ones are named as such."""
    packages = {name: _version(name) for name in _RELEVANT.get(step, ())}
    return {**packages, "python": _PYTHON} if packages else {}


def versions(modules: Iterable[str]) -> dict[str, str]:
    """The installed distributions that these top-level modules come from, with their versions; not Python's own."""
    named = {name for module in modules if module not in sys.stdlib_module_names for name in _distributions(module)}
    return {name: _version(name) for name in sorted(named)}


@cache
def _distributions(module: str) -> tuple[str, ...]:
    """The distributions that a module comes from; none where it was not installed as one."""
    likely = _CALLED.get(module, module)
    try:
        found = metadata.distribution(likely)
    except metadata.PackageNotFoundError:
        return _provided().get(module, ())
    inside = [Path(str(found.locate_file(name))) for name in (module, f"{module}.py")]
    return (_canonical(likely),) if any(path.exists() for path in inside) else _provided().get(module, ())


@cache
def _provided() -> dict[str, tuple[str, ...]]:
    """Every installed module's distributions: a quarter of a second, so only where a name does not say it."""
    return {module: tuple(map(_canonical, names)) for module, names in metadata.packages_distributions().items()}


def environment_lock() -> dict[str, str]:
    """Every package that can change a prediction, with its version: a release's environment."""
    names = sorted({name for step in _BUILDING for name in _RELEVANT[step]})
    return {**{name: _version(name) for name in names}, "python": _PYTHON}


@cache
def installed() -> dict[str, str]:
    """Every package of this environment with its version, and Python's own: what it takes to make it again."""
    found = {_canonical(one.metadata["Name"]): one.version for one in metadata.distributions() if one.metadata["Name"]}
    return {**dict(sorted(found.items())), "python": platform.python_version()}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
