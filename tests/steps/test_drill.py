"""Drills on copies that are really served; the environment that they are copies of never is."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner

from mlops.adapters.load import Load
from mlops.cli.group import mlops
from mlops.errors import NothingToDo, UsageError
from mlops.steps.deploy import deploy
from mlops.steps.drill import Exercise, Move, _failures, _slow, drill
from mlops.targets import history
from mlops.workspace import open_workspace
from tests.serving.releases import contract, make_project, make_release, publish_customers

SHORT = Exercise(rounds=2, rate=50.0, within=5.0)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    root = tmp_path_factory.mktemp("drilled") / "project"
    workspace = make_project(root)
    publish_customers(workspace.environments / "staging" / "online.sqlite")
    for number in (1, 2, 3):
        name = make_release(workspace.releases, contract(f"fraud_v{number}"), factor=float(number))
        deploy(workspace, environment="staging", release=name)
    return workspace


@pytest.fixture
def project(original, tmp_path):
    return open_workspace(shutil.copytree(original.root, tmp_path / "project"))


def events(workspace):
    return history.read(workspace.environments / "staging")


def everything(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_sound_environment_is_rolled_back_and_forth_under_load_without_a_failed_request(project):
    """Promises 7 and 8, for the environment at hand."""
    family = project.environments / "staging" / "fraud"
    before = everything(family)
    record = drill(project, environment="staging", exercise=SHORT)
    assert record.facts["problems"] == []
    first, second, third = sorted(p.name for p in project.releases.glob("fraud*"))
    moves = [(move["release"], move["warm"]) for move in record.facts["moves"]]
    assert moves == [(first, False), (third, True)] + [(second, True), (third, True)] * 2
    assert record.metrics["requests"] > 50
    assert record.metrics["failed"] == 0
    assert 0 < record.metrics["warm_seconds"] <= 5
    assert everything(family) == before
    assert list(project.scratch.iterdir()) == []
    (event,) = events(project)
    assert (event.action, event.outcome, event.previous, event.to) == ("drill", "done", third, second)
    assert "failed 0" in event.reason


def test_a_damaged_release_fails_the_drill_with_exit_code_6_and_is_noted(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    _, second, _ = sorted(p.name for p in project.releases.glob("fraud*"))
    (project.releases / second / "bento" / "src" / "features" / "money.py").write_text("")
    monkeypatch.setattr("mlops.targets.scratch._BOOT_SECONDS", 5.0)
    shown = CliRunner().invoke(mlops, ["drill", "staging", "--json", "--rounds", "1", "--project", str(project.root)])
    assert shown.exit_code == 6, shown.output
    told = json.loads(shown.stdout)
    assert second in told["problems"][0]
    assert not told["passed"]
    assert events(project)[-1].outcome.startswith("failed: ")


def test_a_move_that_takes_too_long_is_a_problem():
    moves = [
        Move(before="a", release="b", seconds=1.2, warm=True),
        Move(before="b", release="a", seconds=1.2, warm=False),
        Move(before="a", release="c", seconds=31.0, warm=False),
    ]
    assert _slow(moves, 1.0) == [
        "the way to b, warm, took 1.20 s, limit 1 s",
        "the way to c, cold, took 31.00 s, limit 30 s",
    ]


@pytest.mark.parametrize("statuses", [{200: 9, 0: 1}, {200: 9, 503: 1}, {}])
def test_a_request_without_a_true_answer_is_a_problem_and_so_is_none_at_all(statuses):
    assert _failures(Load(statuses=statuses, seconds=1.0, milliseconds=()))
    assert not _failures(Load(statuses={200: 9, 422: 1}, seconds=1.0, milliseconds=()))


def test_an_environment_with_one_release_has_nothing_to_go_back_to(project):
    with pytest.raises(NothingToDo, match="nothing has been deployed"):
        drill(project, environment="production")
    live = min(p.name for p in project.releases.glob("fraud*"))
    publish_customers(project.environments / "production" / "online.sqlite")
    deploy(project, environment="production", release=live)
    with pytest.raises(NothingToDo, match="no release before"):
        drill(project, environment="production")


def test_a_place_that_cannot_be_copied_is_refused(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.mlops.environments.edge]\ntarget = "command"\n'
        '[tool.mlops.environments.edge.command]\ndeploy = ["a"]\nprobe = ["b"]\nrollback = ["c"]\n'
    )
    with pytest.raises(UsageError, match="cannot be copied"):
        drill(open_workspace(tmp_path), environment="edge")
