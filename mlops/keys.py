"""What a step's key is made of: code, inputs, parameters, environment and the step's own version.

Path, time, user, machine and the order of a dict do not matter, so the same work has the same key anywhere.
"""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any

import msgspec

_RELEVANT = {
    "snapshot": ("pandas", "pyarrow"),
    "check-features": ("pandas", "numpy", "pytest"),
    "build-features": ("pandas", "numpy"),
    "assemble": ("pandas", "numpy", "duckdb"),
    "check-data": ("duckdb", "pandas", "pandera"),
    "train": ("pandas", "numpy", "scipy", "scikit-learn", "joblib", "skops", "optuna"),
    "check-model": ("pandas", "numpy", "scikit-learn", "skops"),
    "package": ("bentoml", "numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "skl2onnx", "skops"),
    "check-service": ("bentoml", "onnxruntime", "numpy"),
}
"""The packages whose versions can change a step's result."""


_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def key_of(step: str, ingredients: Mapping[str, Any]) -> str:
    """The sha256 over the step's name, its ingredients and the versions of the packages it truly uses."""
    whole = {"step": step, "environment": environment(step), **ingredients}
    return hashlib.sha256(msgspec.json.encode(whole, order="deterministic", enc_hook=str)).hexdigest()


@cache
def environment(step: str) -> dict[str, str]:
    """Versions of the packages that matter to a step; missing ones are named as such."""
    packages = {name: _version(name) for name in _RELEVANT.get(step, ())}
    return {**packages, "python": _PYTHON} if packages else {}


def environment_lock() -> dict[str, str]:
    """Every package that can change a prediction, with its version: a release's environment."""
    names = sorted({name for packages in _RELEVANT.values() for name in packages})
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
