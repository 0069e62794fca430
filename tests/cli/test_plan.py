"""`mlops plan`: what a change affects, and what it says where git cannot tell."""

from __future__ import annotations

import json
import subprocess

import pytest

from mlops.cli import main

MODEL = '''
from mlops import model

@model(source="sales", label="y")
def churn_v1(X, y, params):
    """Churn."""
    return 1
'''


@pytest.fixture
def root(project, monkeypatch):
    folder = project(
        {"models/__init__.py": "", "models/churn.py": MODEL, "sales.csv": "x,y\n1,0\n"},
        '[tool.mlops.sources.sales]\npath = "sales.csv"\n',
    )
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parent))
    return folder


def git(root, *arguments: str) -> None:
    known = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *known, *arguments], cwd=root, check=True, capture_output=True)


def planned(root, capsys, *arguments: str) -> tuple[object, str]:
    with pytest.raises(SystemExit) as end:
        main(["plan", "--project", str(root), *arguments])
    said = capsys.readouterr()
    return end.value.code, said.out + said.err


def test_a_model_whose_code_changed_is_affected_and_a_comment_is_not_a_change(root, capsys):
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "start")
    file = root / "models/churn.py"
    file.write_text(MODEL + "# a comment\n")
    assert json.loads(planned(root, capsys, "--base", "HEAD", "--json")[1])["models"] == {}
    file.write_text(MODEL.replace("return 1", "return 2"))
    assert list(json.loads(planned(root, capsys, "--base", "HEAD", "--json")[1])["models"]) == ["churn_v1"]


def test_without_a_commit_the_next_step_is_to_make_one(root, capsys):
    code, said = planned(root, capsys)
    assert code == 2
    assert "git init" in said
