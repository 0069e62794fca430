from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from collections import Counter
from datetime import timedelta

import pytest
from click.testing import CliRunner

from mlops.adapters import bentoserver
from mlops.cli.serve import command
from mlops.config import Decisions
from mlops.decisions import read
from mlops.errors import DeploymentFailed, NothingToDo, OutsideError, UsageError
from mlops.serving.batching import MOST_HUNG
from mlops.serving.decisions import Settings, settings, variables_of
from mlops.serving.pointer import read_acks
from mlops.steps.deploy import deploy
from mlops.steps.serve import serve, unit
from mlops.workspace import open_workspace
from tests.serving.releases import contract, make_project, make_release
from tests.serving.served import served

GUARDED = '\n[tool.mlops.environments.guarded]\nport = 3009\ntoken_env = "SHOP_TOKEN"\n'


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path, port=bentoserver.free_port(), settings=GUARDED)


@pytest.fixture
def live(project):
    name = make_release(project.releases, contract(computed=False, stored=False))
    deploy(project, environment="staging", release=name)
    deploy(project, environment="guarded", release=name)
    return name


def test_an_environment_without_a_live_release_is_refused(project):
    with pytest.raises(NothingToDo) as caught:
        serve(project, environment="staging")
    assert "mlops deploy staging" in caught.value.next_step


def test_it_says_that_it_starts_only_where_it_does(project):
    told = CliRunner().invoke(command, ["staging", "--project", str(project.root)])
    assert isinstance(told.exception, NothingToDo)
    assert "starting" not in told.output


def test_a_taken_port_is_named(project, live):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OutsideError, match=str(port)) as caught:
            serve(project, environment="staging", port=port)
    assert caught.value.exit_code == 4


def test_a_damaged_live_release_is_refused(project, live):
    """Promise 10."""
    (project.releases / live / "added").write_text("")
    with pytest.raises(DeploymentFailed, match="added was added"):
        serve(project, environment="staging")


def test_a_live_release_that_cannot_be_loaded_ends_the_server_instead_of_being_tried_for_ever(project):
    """Promise 9: it was deployed while nobody could try it."""
    bad = make_release(project.releases, contract(stored=False), factor=2.0, broken=True)
    deploy(project, environment="staging", release=bad)
    with pytest.raises(OutsideError, match="ended with code 3 before it was ready"):
        serve(project, environment="staging")
    assert not (project.environments / "staging" / "fraud" / "server.json").exists()


def test_a_missing_token_is_named(project, live, monkeypatch):
    monkeypatch.delenv("SHOP_TOKEN", raising=False)
    with pytest.raises(UsageError, match="SHOP_TOKEN"):
        serve(project, environment="guarded")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped_and_leaves_nothing_behind(project, live, stop):
    with served(project, stop=stop) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/predict", b'{"amount": 2.0}')
        assert json.loads(connection.getresponse().read())["release"] == live
        connection.close()
        with pytest.raises(OutsideError, match="served already"):
            serve(project, environment="staging", port=bentoserver.free_port())
        inner = json.loads((project.environments / "staging" / "fraud" / "server.json").read_text())["pid"]
    with pytest.raises(ProcessLookupError):
        os.kill(inner, 0)
    assert not bentoserver.ready("127.0.0.1", port, timeout=0.2)
    assert not (project.environments / "staging" / "fraud" / "server.json").exists()
    assert not list((project.environments / "staging" / "fraud" / "workers").iterdir())
    decided = read(project.environments / "staging" / "fraud" / "decisions").to_pylist()
    assert [(one["release"], one["arm"], one["request.amount"]) for one in decided] == [(live, "live", 2.0)]


def test_a_worker_whose_live_release_hangs_again_and_again_ends_and_is_replaced(project):
    hangs = "import time; time.sleep(600 * bool((amount == 7.0).any()))"
    name = make_release(project.releases, contract(stored=False), fault=hangs)
    deploy(project, environment="staging", release=name)
    folder = project.environments / "staging" / "fraud"
    with served(project, MLOPS_ANSWER_SECONDS="0.5") as port:
        (first,) = read_acks(folder)
        statuses = Counter(asked(port, b'{"amount": 7.0}') for _ in range(MOST_HUNG))
        assert statuses == {504: MOST_HUNG}
        deadline = time.monotonic() + 60
        while first.pid in (pids := [ack.pid for ack in read_acks(folder)]) or not pids:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert asked(port, b'{"amount": 2.0}') == 200
    said = (project.root / "staging.log").read_text()
    assert f"{name} hangs again and again" in said


def asked(port, body):
    """The status of a request; a connection waits for whoever takes it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/predict", body)
        return connection.getresponse().status
    finally:
        connection.close()


def test_decisions_are_logged_as_the_environment_says(tmp_path):
    variables = variables_of(Decisions(keep="90d", omit=("email", "name")), str(tmp_path))
    assert settings(variables) == Settings(folder=tmp_path, keep=timedelta(days=90), omit=frozenset({"email", "name"}))
    off = variables_of(Decisions(log=False), str(tmp_path))
    assert settings({"MLOPS_DECISIONS": "/by/chance", **off}) is None


def test_the_unit_of_systemd_runs_the_same_and_reads_the_token_from_a_file(project):
    plain = unit(project, environment="staging", port=3100)
    assert f"-m mlops serve staging --project {project.root} --port 3100\n" in plain
    assert "EnvironmentFile" not in plain
    guarded = unit(project, environment="guarded")
    assert f"EnvironmentFile={project.environments / 'guarded' / 'service.env'}" in guarded


def test_an_environment_beyond_this_machine_is_not_served_here(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.mlops.environments.edge]\ntarget = "command"\n'
        '[tool.mlops.environments.edge.command]\ndeploy = ["a"]\nprobe = ["b"]\nrollback = ["c"]\n'
    )
    for asked in (serve, unit):
        with pytest.raises(UsageError, match="its target is command"):
            asked(open_workspace(tmp_path), environment="edge")
