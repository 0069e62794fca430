"""Fixtures that all tests share: small projects in a temporary folder."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest


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
