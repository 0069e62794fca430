"""Whole journeys through the command line: a project around a table, its releases, a server, its answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.journeys import demand_golden_answers, mlops, serving


@pytest.fixture(scope="session")
def real_tables() -> Path:
    """The folder of real tables beside the project; skips where it is absent."""
    folder = Path(__file__).parents[2] / "../shared/data"
    if not folder.is_dir():
        pytest.skip("../shared/data, which holds the real tables, is not on this machine")
    return folder.resolve()


@pytest.fixture
def journey(tmp_path: Path) -> Callable[..., Path]:
    """From a table to a release that answers: `mlops init`, `mlops run`, `mlops serve`; gives the project."""

    def go(name: str, data: Path, label: str, *options: str) -> Path:
        begun = mlops("init", name, "--data", str(data), "--label", label, *options, cwd=tmp_path)
        assert begun.code == 0, begun
        project = tmp_path / name
        ran = mlops("run", "--json", cwd=project)
        assert ran.code == 0, ran
        (release,) = ran.json["releases"]
        assert release.startswith(f"{name}_v1-")
        assert ran.json["deployed"] == {release: "staging"}
        with serving(project) as address:
            demand_golden_answers(project, release, address)
            (standing,) = mlops("status", "staging", "--json", cwd=project).json
            assert standing["families"][0]["standing"]["live"] == release
        return project

    return go
