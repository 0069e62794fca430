"""`mlops run`: what it refuses before anything is computed."""

from __future__ import annotations

import pytest

from mlops.cli import main

MODEL = """
from mlops import model

@model(source="sales", label="y")
def churn_v1(X, y, params):
    ...
"""


@pytest.fixture
def root(project):
    return project(
        {"models/churn.py": MODEL, "sales.csv": "x,y\n1,0\n"}, '[tool.mlops.sources.sales]\npath = "sales.csv"\n'
    )


def left(*arguments: str) -> object:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return end.value.code


def test_a_misspelt_environment_is_told_before_anything_is_computed(root, capsys):
    assert left("run", "--to", "prodction", "--project", str(root)) == 2
    said = capsys.readouterr().err
    assert "unknown environment 'prodction'" in said
    assert "did you mean 'production'?" in said
    assert "snapshot" not in said


def test_a_misspelt_model_is_told_with_the_nearest_name(root, capsys):
    assert left("run", "chrun_v1", "--project", str(root)) == 2
    assert "did you mean 'churn_v1'?" in capsys.readouterr().err


def test_an_error_for_a_machine_is_json_on_stdout(root, capsys):
    assert left("run", "chrun_v1", "--json", "--project", str(root)) == 2
    assert '"exit_code": 2' in capsys.readouterr().out


def test_a_misspelt_check_is_told_before_anything_is_computed(root, capsys):
    settings = root / "pyproject.toml"
    settings.write_text(settings.read_text() + '[tool.mlops.severity]\n"service.latncy" = "warn"\n')
    assert left("run", "--project", str(root)) == 2
    said = capsys.readouterr().err
    assert "unknown check 'service.latncy'" in said
    assert "did you mean 'service.latency'?" in said
    assert "snapshot" not in said
