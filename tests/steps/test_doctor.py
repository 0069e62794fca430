"""The doctor finds what stands in the way of a run, and says what to do."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from mlops.adapters.bentoserver import free_port
from mlops.steps.doctor import Line, doctor

PROJECT = """
[project]
name = "p"
[tool.mlops.sources.sales]
path = "sales.csv"
[tool.mlops.models.churn]
floor = 0.6
[tool.mlops.environments.staging]
port = {port}
"""
MODEL = """
from mlops import model

@model(source="sales", label="y")
def churn_v1(X, y, params):
    ...
"""


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name, text in {
        "pyproject.toml": PROJECT.format(port=free_port()),
        "sales.csv": "x,y\n1,0\n2,1\n",
        "features/sales.schema.yaml": "columns: {}\n",
        "features/__init__.py": "",
        "models/__init__.py": "",
        "models/churn.py": MODEL,
        "tests/features/test_sales.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def look(root: Path, what: str) -> Line:
    found = [line for line in doctor(root) if line.what == what]
    assert len(found) == 1, [line.what for line in doctor(root)]
    return found[0]


def test_a_sound_project_has_no_failed_line_and_every_other_has_a_fix(project):
    lines = doctor(project)
    assert [line for line in lines if line.health == "fail"] == []
    assert all(line.fix for line in lines if line.health != "ok")
    whats = {line.what for line in lines}
    assert whats >= {
        "Python",
        "packages",
        "uv",
        "deepchecks",
        "git",
        "disk",
        "source sales",
        "model churn",
        "tests",
        "ledger",
    }


def test_no_project_is_told_after_the_machine(tmp_path):
    lines = doctor(tmp_path)
    assert lines[0].what == "Python"
    assert (lines[-1].health, lines[-1].what) == ("fail", "project")
    assert "mlops init" in lines[-1].fix


def test_a_dependency_below_its_floor_is_named(project, monkeypatch):
    from importlib import metadata

    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.9.2" if name == "bentoml" else real(name))
    line = look(project, "bentoml")
    assert line.health == "fail"
    assert line.found.startswith("0.9.2")
    assert line.fix.startswith("pip install 'bentoml>=")


@pytest.mark.parametrize(
    ("gone", "what", "health", "fix"),
    [
        ("sales.csv", "source sales", "fail", "change path"),
        ("features/sales.schema.yaml", "source sales", "fail", "mlops schema sales --update"),
        ("models/churn.py", "models", "fail", "@model"),
        ("tests/features/test_sales.py", "tests", "warn", "write one"),
    ],
)
def test_what_is_missing_is_named_with_its_fix(project, gone, what, health, fix):
    (project / gone).unlink()
    line = look(project, what)
    assert line.health == health
    assert fix in line.fix


def test_a_model_without_a_floor_fails(project):
    text = (project / "pyproject.toml").read_text().replace("floor = 0.6", "holdout = 0.3")
    (project / "pyproject.toml").write_text(text)
    line = look(project, "model churn")
    assert line.health == "fail"
    assert "[tool.mlops.models.churn]" in line.fix


def test_a_declaration_that_does_not_load_is_told_with_its_line(project):
    (project / "models/churn.py").write_text("import nothing_of_that_name\n")
    assert "churn.py:1" in look(project, "models").found


def test_a_port_of_another_program_is_a_warning(project):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        (project / "pyproject.toml").write_text(PROJECT.format(port=other.getsockname()[1]))
        assert look(project, "environment staging").health == "warn"
    assert look(project, "environment staging").health == "ok"


def test_of_an_environment_elsewhere_the_program_that_moves_it_is_looked_for(project):
    with (project / "pyproject.toml").open("a") as file:
        file.write('[tool.mlops.environments.edge]\ntarget = "command"\n[tool.mlops.environments.edge.command]\n')
        file.write('deploy = ["./ops.sh"]\nprobe = ["true"]\nrollback = ["true"]\n')
    line = look(project, "environment edge")
    assert (line.health, line.found) == ("warn", "its target is command, and ./ops.sh is not there")
    (project / "ops.sh").write_text("#!/bin/sh\n")
    (project / "ops.sh").chmod(0o755)
    assert look(project, "environment edge").health == "ok"


def test_a_ledger_that_does_not_answer_fails_without_telling_the_password(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{free_port()}")
    line = look(project, "ledger")
    assert line.health == "fail"
    assert "secret" not in line.found
    assert "MLFLOW_TRACKING_URI" in line.fix


def test_a_public_key_that_is_missing_is_named_before_a_deployment_fails(project, monkeypatch):
    with (project / "pyproject.toml").open("a") as file:
        file.write("\n[tool.mlops.environments.guarded]\nrequire_signature = true\n")
        file.write('[tool.mlops.signing]\nmethod = "key"\npublic_key = "release.pub"\n')
    line = look(project, "signing")
    assert (line.health, "release.pub" in line.found) == ("fail", True)
    (project / "release.pub").touch()
    monkeypatch.delenv("MLOPS_SIGNING_KEY", raising=False)
    assert look(project, "signing").found.endswith("where MLOPS_SIGNING_KEY is set")
    monkeypatch.setenv("MLOPS_SIGNING_KEY", "release.key")
    assert look(project, "signing").found == "guarded demands signatures; releases are signed here too"
    monkeypatch.setattr("mlops.steps.doctor.find_spec", lambda _: None)
    assert "mlops[signing]" in look(project, "signing").fix


def test_a_database_without_its_variable_fails(project, monkeypatch):
    monkeypatch.delenv("MLOPS_SQL_URL", raising=False)
    text = (project / "pyproject.toml").read_text().replace('path = "sales.csv"', 'query = "select 1"')
    (project / "pyproject.toml").write_text(text)
    assert "MLOPS_SQL_URL" in look(project, "source sales").found


def test_the_doctor_loads_neither_mlflow_nor_pandas(project):
    import subprocess

    code = (
        "import sys; from pathlib import Path; from mlops.steps.doctor import doctor; doctor(Path('.'));"
        "sys.exit(bool({'mlflow', 'pandas', 'bentoml'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=project, check=False).returncode == 0


def test_an_environment_that_was_deployed_to_is_no_fault(project):
    family = project / ".mlops/environments/staging/churn"
    family.mkdir(parents=True)
    (family.parent / ".lock").touch()
    assert look(project, "environment staging").health == "ok"
