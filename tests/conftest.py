"""Fixtures that all tests share: small projects in a temporary folder."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.small import Ran


# A workflow that runs these tests is not what they test: their errors are no annotations of its own.
for _name in [name for name in os.environ if name.startswith("GITHUB_")]:
    del os.environ[_name]


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Writes files given as `{"features/shop.py": "…"}` into a project folder, and gives the folder."""

    def write(files: dict[str, str], settings: str = "") -> Path:
        root = tmp_path / "project"
        everything = {"pyproject.toml": f'[project]\nname = "shop"\n[tool.mlops]\n{settings}', **files}
        for name, text in everything.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        return root

    return write


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """A small project after its first run, and that run. Do not change it: `shop` is a copy."""
    from tests import small

    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        root = small.churn(tmp_path_factory.mktemp("released") / "shop")
        return root, small.go(root)


@pytest.fixture
def shop(released: tuple[Path, Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the released project, in another folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "elsewhere"
    shutil.copytree(released[0], root)
    return root


@pytest.fixture(scope="session")
def banked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """A small project with stored features, after a run of both versions. Leave it as it was: `bank` is a copy."""
    from tests import bank, small

    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        root = bank.written(tmp_path_factory.mktemp("banked") / "bank")
        return root, small.go(root)


@pytest.fixture
def bank(banked: tuple[Path, Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small bank, in another folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "elsewhere"
    shutil.copytree(banked[0], root)
    return root
