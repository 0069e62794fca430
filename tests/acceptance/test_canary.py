"""A journey under load: v1 live, a faulty canary rolled back, the mended one promoted, rolled back, deployed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from mlops.adapters import bentoserver
from mlops.steps.deploy import deploy
from mlops.steps.status import status
from mlops.workspace import open_workspace
from tests.serving.releases import contract, make_project, make_release
from tests.serving.steady import Steady, any_amount

PLANTED = "if (((amount * 100).round() % 20) == 7).any(): raise RuntimeError('planted')"  # of one request in twenty
SLOW = "import time; time.sleep(0.05)"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    make_project(root, port=bentoserver.free_port(), workers=2)
    workspace = open_workspace(root)
    workspace.releases.mkdir(parents=True)
    return workspace


@pytest.fixture(scope="module")
def first(project):
    name = make_release(project.releases, contract("fraud_v1", stored=False))
    deploy(project, environment="staging", release=name)
    return name


@pytest.fixture(scope="module")
def url(project, first):
    with (project.root / "serve.log").open("wb") as log:
        server = mlops(project, "serve", "staging", stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 90
        while len(family(project)["health"]["serving"]) < 2:
            assert server.poll() is None, (project.root / "serve.log").read_text()
            assert time.monotonic() < deadline, (project.root / "serve.log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{project.config.environments['staging'].port}"
    finally:
        server.terminate()
        assert server.wait(30) == 0


def family(project):
    return status(project, environment="staging").facts["families"][0]


def mlops(project, *arguments, **pipes):
    variables = {**os.environ, "MLFLOW_TRACKING_URI": ""}
    command = [sys.executable, "-m", "mlops", *arguments, "--project", str(project.root)]
    return subprocess.Popen(command, env=variables, cwd=project.root, **pipes)


def done(project, *arguments):
    """The exit code of a command and what it printed as JSON."""
    process = mlops(project, *arguments, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate(timeout=180)
    assert out, err
    return process.returncode, json.loads(out), err


def events(project):
    return [(one["action"], one["to"], one["outcome"].partition(":")[0]) for one in family(project)["history"][::-1]]


def test_a_faulty_canary_rolls_itself_back_and_no_other_request_fails(project, first, url):
    """Promise 7 and the journey of a release, at 200 requests/s over new and reused connections."""
    faulty = make_release(project.releases, contract("fraud_v2", stored=False), factor=1.1, fault=PLANTED)
    mended = make_release(project.releases, contract("fraud_v2", stored=False), factor=1.1)
    with Steady(url, body=any_amount) as load:
        code, told, err = done(project, "deploy", "staging", faulty, "--canary", "25%", "--for", "2m")
        assert (code, told["outcome"], told["release"]) == (5, "rolled back", first), err
        (worse,) = [one for one in told["findings"] if one["check"] == "canary.errors"]
        assert worse["outcome"] == "fail"
        assert worse["n"] == told["requests"] > 0
        assert worse["interval"][0] > 1.0
        asked = load.answers[faulty]

        code, told, err = done(project, "deploy", "staging", mended, "--canary", "25%", "--for", "8s")
        assert (code, told["outcome"], told["release"], told["previous"]) == (0, "promoted", mended, first), err

        code, told, err = done(project, "rollback", "staging")
        assert (code, told["release"]) == (0, first), err
        code, told, err = done(project, "deploy", "staging", mended)
        assert (code, told["release"]) == (0, mended), err
        time.sleep(0.5)

    planted = [one for one in load.failures if one[0] == 500]
    assert planted
    assert [one for one in load.failures if one not in planted] == []
    assert len(planted) < 0.15 * (asked + len(planted)), "only the planted twentieth of the canary's requests"
    assert load.answers[faulty] == asked, "after its rollback it answered nobody"
    assert load.answers[first] > asked
    assert load.answers[mended] > 0
    assert events(project)[-5:] == [
        ("canary", faulty, "rolled back"),
        ("deploy", mended, "done"),
        ("canary", mended, "done"),
        ("rollback", first, "done"),
        ("deploy", mended, "done"),
    ]


def test_a_slow_canary_is_rolled_back(project, first, url):
    """Promise 9."""
    slow = make_release(project.releases, contract("fraud_v3", stored=False), factor=1.1, fault=SLOW)
    live = family(project)["standing"]["live"]
    with Steady(url, rate=60, body=any_amount) as load:
        code, told, err = done(project, "deploy", "staging", slow, "--canary", "20%", "--for", "2m")
    assert (code, told["outcome"], told["release"]) == (5, "rolled back", live), err
    assert "canary.latency" in {one["check"] for one in told["findings"] if one["outcome"] == "fail"}
    assert load.failures == []


def test_a_canary_that_cannot_be_loaded_never_gets_a_request_and_is_told(project, first, url):
    """Promise 9."""
    bad = make_release(project.releases, contract("fraud_v4", stored=False), factor=2.0, broken=True)
    live = family(project)["standing"]["live"]
    with Steady(url, body=any_amount) as load:
        code, told, err = done(project, "deploy", "staging", bad, "--canary", "50%", "--for", "1m")
    assert (code, told["outcome"]) == (5, "rolled back"), err
    (finding,) = told["findings"]
    assert finding["check"] == "canary.ready"
    assert "golden request" in finding["message"]
    assert load.failures == []
    assert set(load.answers) == {live}


def test_without_requests_a_canary_is_held_and_may_go_on_later(project, first, url):
    fresh = make_release(project.releases, contract("fraud_v5", stored=False), factor=1.2)
    live = family(project)["standing"]["live"]
    code, told, err = done(project, "deploy", "staging", fresh, "--canary", "50%", "--for", "1s")
    assert (code, told["outcome"], told["release"]) == (7, "held", live), err
    (trial,) = family(project)["trials"]
    assert trial["release"] == fresh
    assert trial["held"]
    assert trial["judge"] is None
    with Steady(url, body=any_amount) as load:
        time.sleep(0.5)
        assert set(load.answers) == {live}, "while it is held it is asked nothing"
        code, told, err = done(project, "deploy", "staging", "--resume", "--for", "6s")
    assert (code, told["outcome"], told["release"]) == (0, "promoted", fresh), err
    assert load.failures == []
    assert family(project)["trials"] == []


def test_a_deployer_that_is_killed_leaves_a_canary_that_is_named_and_gone_on_with(project, first, url):
    """Promise 12."""
    fresh = make_release(project.releases, contract("fraud_v6", stored=False), factor=1.1)
    with Steady(url, body=any_amount) as load:
        killed = mlops(project, "deploy", "staging", fresh, "--canary", "40%", "--for", "9s", stderr=subprocess.DEVNULL)
        until(lambda: load.answers[fresh] > 50)
        assert family(project)["trials"][0]["judge"] == killed.pid
        refused = mlops(project, "deploy", "staging", first, stderr=subprocess.PIPE, text=True)
        _, err = refused.communicate(timeout=60)
        assert refused.returncode == 5
        assert f"judged in staging by process {killed.pid}" in err
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        (trial,) = family(project)["trials"]
        assert (trial["release"], trial["judge"], trial["held"]) == (fresh, None, "")
        code, told, err = done(project, "deploy", "staging", "--resume")
    assert (code, told["outcome"], told["release"]) == (0, "promoted", fresh), err
    assert load.failures == []


def test_a_rollback_ends_a_canary_at_once(project, first, url):
    fresh = make_release(project.releases, contract("fraud_v7", stored=False), factor=1.1)
    live = family(project)["standing"]["live"]
    with Steady(url, body=any_amount) as load:
        watching = mlops(project, "deploy", "staging", fresh, "--canary", "40%", "--for", "5m", stderr=subprocess.PIPE)
        until(lambda: load.answers[fresh] > 20)
        code, told, err = done(project, "rollback", "staging", "--reason", "complaints")
        assert (code, told["ended"], told["release"], told["changed"]) == (0, [fresh], live, False), err
        time.sleep(0.3)
        asked = load.answers[fresh]
        assert watching.wait(30) == 5
        time.sleep(0.5)
        assert load.answers[fresh] == asked
    assert load.failures == []
    assert "ended by somebody else" in watching.stderr.read().decode()
    assert events(project)[-1] == ("canary", fresh, "ended")


def test_a_shadow_is_compared_and_answers_nobody(project, first, url):
    other = make_release(project.releases, contract("fraud_v8", stored=False), factor=40.0, fault=PLANTED)
    live = family(project)["standing"]["live"]
    with Steady(url, rate=50, body=any_amount) as load:
        code, told, err = done(project, "deploy", "staging", other, "--shadow", "--for", "6s")
    assert (code, told["outcome"], told["release"]) == (5, "compared", live), err
    found = {one["check"]: one for one in told["findings"]}
    assert 0.01 < found["canary.shadow"]["measured"] / found["canary.shadow"]["n"] < 0.15
    assert found["canary.difference"]["n"] > 100
    assert load.failures == []
    assert set(load.answers) == {live}


def until(true, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
