"""GitHub's page of deployments follows every move, and holds none of them up."""

from __future__ import annotations

import time

import pytest

from mlops.cli import main
from tests import small
from tests.adapters.github_api import GitHubApi
from tests.adapters.test_github_runner import commands, read_outputs


@pytest.fixture
def api():
    with GitHubApi() as server:
        yield server


@pytest.fixture
def job(api, tmp_path, monkeypatch):
    for name, value in api.environment(tmp_path / "job").items():
        monkeypatch.setenv(name, value)


def releases(root) -> tuple[str, str]:
    """The first and the second version's."""
    first, second = sorted(path.name for path in (root / ".mlops/releases").iterdir())
    return first, second


def typed(capsys, root, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--project", str(root)])
    return int(end.value.code or 0), capsys.readouterr().err


def told(api) -> list[tuple[str, str, list[str]]]:
    """Each deployment: what was done, the release, its states."""
    states = api.kept.deployment_statuses
    return [
        (one["task"], one["payload"]["release"], [state["state"] for state in states[one["id"]]])
        for one in api.kept.deployments
    ]


def test_a_deployment_and_the_way_back_are_told_with_their_ends(api, job, bank, capsys, tmp_path):
    text = (bank / "pyproject.toml").read_text()
    (bank / "pyproject.toml").write_text(
        text + '\n[tool.mlops.environments.production]\nurl = "https://fraud.example"\n'
    )
    first, second = releases(bank)
    for release in (first, second):
        assert typed(capsys, bank, "deploy", "production", release, "--allow-dirty")[0] == 0
    assert typed(capsys, bank, "rollback", "production", "--reason", "complaints")[0] == 0
    assert told(api) == [
        ("deploy:fraud", first, ["in_progress", "success", "inactive"]),
        ("deploy:fraud", second, ["in_progress", "success", "inactive"]),
        ("rollback:fraud", first, ["in_progress", "success"]),
    ]
    last = api.kept.deployments[-1]
    assert (last["environment"], last["description"]) == ("production", "complaints")
    (done,) = [one for one in api.kept.deployment_statuses[last["id"]] if one["state"] == "success"]
    assert done["environment_url"] == "https://fraud.example"
    assert done["log_url"] == "https://github.com/ada/shop/actions/runs/7"
    assert read_outputs((tmp_path / "job/output").read_text()) == {"release": first, "changed": "true"}


def test_a_release_that_does_not_go_live_is_told_as_failed(api, job, bank, capsys):
    first, _ = releases(bank)
    (bank / ".mlops/releases" / first / "bento/extra.txt").write_text("x")
    code, _ = typed(capsys, bank, "deploy", "production", first, "--allow-dirty")
    assert code == 5
    assert told(api) == [("deploy:fraud", first, ["in_progress", "failure"])]


def test_a_missing_permission_is_a_warning_and_the_release_goes_live(api, job, bank, capsys):
    api.fail("POST", "/deployments$", 403, {"message": "Resource not accessible by integration"})
    code, err = typed(capsys, bank, "deploy", "production", releases(bank)[0], "--allow-dirty")
    assert code == 0
    (warning,) = commands(err)
    assert "deployments: write" in warning


def test_a_rollback_waits_for_nobody(job, bank, capsys, monkeypatch):
    """GitHub takes the connection and says nothing."""
    import socket

    first, second = releases(bank)
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    for release in (first, second):
        typed(capsys, bank, "deploy", "production", release, "--allow-dirty")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()
        code, err = typed(capsys, bank, "rollback", "production")
        assert (code, time.monotonic() - begun < 30) == (0, True)
    assert "does not answer" in err
    assert f"live      {first}" in small.mlops(bank, "status", "production").stdout


def test_a_run_tells_what_it_brought_live_and_nothing_where_nothing_moved(api, job, shop, capsys):
    assert typed(capsys, shop, "run")[0] == 0
    assert told(api) == []
    assert typed(capsys, shop, "run", "--to", "production", "--allow-dirty")[0] == 0
    ((task, _, states),) = told(api)
    assert (task, states) == ("deploy:churn", ["in_progress", "success"])


def test_a_fork_s_run_tells_nothing(api, job, bank, capsys, monkeypatch, tmp_path):
    payload = {"pull_request": {"number": 3, "head": {"sha": "a" * 40, "repo": {"full_name": "eve/shop"}}}}
    for name, value in api.environment(tmp_path / "fork", "pull_request", payload).items():
        monkeypatch.setenv(name, value)
    assert typed(capsys, bank, "deploy", "production", releases(bank)[0], "--allow-dirty")[0] == 0
    assert api.requests == []
