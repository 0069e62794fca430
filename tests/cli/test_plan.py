"""`mlops plan`: what a change affects, and what it says where git cannot tell."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from mlops.cli import main
from tests.adapters.github_api import GitHubApi
from tests.adapters.test_github_runner import read_outputs

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


@pytest.fixture
def pushed(root):
    """The project with two commits, of which the second changes its model."""
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "start")
    (root / "models/churn.py").write_text(MODEL.replace("return 1", "return 2"))
    (root / "README.md").write_text("hello\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "better")
    return root


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job of a workflow for an event; gives its outputs."""

    def of(event: str, payload: object) -> Callable[[], dict[str, str]]:
        environ = GitHubApi().environment(tmp_path / "job", event, payload, GITHUB_WORKSPACE=str(tmp_path))
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return lambda: read_outputs((tmp_path / "job/output").read_text())

    return of


def commit(root, name: str) -> str:
    found = subprocess.run(["git", "rev-parse", name], cwd=root, check=True, capture_output=True, text=True)
    return found.stdout.strip()


def pull_request(base: str) -> dict[str, object]:
    return {"pull_request": {"number": 3, "base": {"sha": base}, "head": {"sha": "a" * 40}}}


def test_in_actions_a_pull_request_is_compared_with_its_base_and_the_outputs_are_set(pushed, capsys, job, tmp_path):
    outputs = job("pull_request", pull_request(commit(pushed, "HEAD~1")))
    code, said = planned(pushed, capsys)
    assert (code, outputs()) == (0, {"models": '["churn_v1"]', "views": "[]", "affected": "true", "sign": "false"})
    assert "1 of 1 models need work since" in said
    assert "| `churn_v1` | changed: churn_v1 itself |" in (tmp_path / "job/summary").read_text()


def test_where_nothing_is_affected_it_says_so(pushed, capsys, job, tmp_path):
    outputs = job("push", {"before": commit(pushed, "HEAD")})
    code, said = planned(pushed, capsys)
    assert (code, outputs()) == (0, {"models": "[]", "views": "[]", "affected": "false", "sign": "false"})
    assert said.startswith("Nothing that a model reads has changed since")
    assert "no model needs work" in (tmp_path / "job/summary").read_text()


@pytest.mark.parametrize(
    ("event", "payload", "why"),
    [
        ("workflow_dispatch", {}, "workflow_dispatch compares with nothing"),
        ("schedule", {}, "schedule compares with nothing"),
        ("push", {"before": "0" * 40}, "push compares with nothing"),
        ("push", {"before": "d" * 40}, "what was pushed over (dddddddddddd) is gone"),
    ],
)
def test_an_event_without_a_base_needs_everything(pushed, capsys, job, event, payload, why):
    outputs = job(event, payload)
    assert why in planned(pushed, capsys)[1]
    assert outputs()["models"] == '["churn_v1"]'


def test_a_model_that_is_asked_for_needs_work_whatever_changed(pushed, capsys, job):
    outputs = job("push", {"before": commit(pushed, "HEAD")})
    assert "asked for" in planned(pushed, capsys, "churn")[1]
    assert outputs() == {"models": '["churn_v1"]', "views": "[]", "affected": "true", "sign": "false"}


@pytest.mark.parametrize("event", ["push", "pull_request"])
def test_a_shallow_clone_is_recognised_and_its_fix_named(pushed, tmp_path, capsys, job, event):
    base = commit(pushed, "HEAD~1")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{pushed}", str(shallow))
    job(event, {"before": base} if event == "push" else pull_request(base))
    code, said = planned(shallow, capsys)
    assert code == 2
    assert "this clone is shallow" in said
    assert "fetch-depth: 0" in said


def test_without_a_commit_the_next_step_is_to_make_one(root, capsys):
    code, said = planned(root, capsys)
    assert code == 2
    assert "git init" in said
