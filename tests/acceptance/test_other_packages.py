"""A release that was judged with other packages: its own workers come first, under load, and the old ones drain."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mlops.adapters import bento
from mlops.adapters.bentoserver import free_port
from mlops.adapters.python_environment import interpreter
from mlops.errors import DeploymentFailed, OutsideError
from mlops.judging import Plan
from mlops.serving.packages import lacking, packages
from mlops.steps.deploy import deploy, try_out
from mlops.steps.status import status
from mlops.targets import chosen
from mlops.targets.protocol import Order
from tests.acceptance.journeys import mlops, serving
from tests.serving.releases import contract, make_project, make_release
from tests.serving.steady import Steady

pytestmark = pytest.mark.acceptance

NEEDED = ("bentoml", "onnxruntime", "numpy", "msgspec", "pyarrow", "httptools", "uvloop", "pandas", "prometheus-client")
ANOTHER = "flatbuffers==25.9.23"  # small, and what ONNX Runtime needs takes any version


def body(number):
    return b'{"amount": %.2f}' % (number % 97)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("packages") / "shop"
    return make_project(root, port=free_port(), workers=2)


@pytest.fixture(scope="module")
def pins():
    return bento.locked(NEEDED)


@pytest.fixture(scope="module")
def other_pins(project, pins):
    """The same but for one small package, in an environment that is really made."""
    other = [ANOTHER if one.startswith("flatbuffers==") else one for one in pins]
    try:
        interpreter(project.home / "python", other)
    except OutsideError as error:
        pytest.skip(f"no package index is reached: {error.message}")
    return other


@pytest.fixture(scope="module")
def ours(project, pins):
    name = make_release(project.releases, contract("fraud_v1", stored=False), pins=pins)
    deploy(project, environment="staging", release=name)
    return name


@pytest.fixture(scope="module")
def url(project, ours):
    with serving(project.root) as address:
        yield address


def health(project):
    return status(project, environment="staging").facts["families"][0]["health"]


def command(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()


def test_it_gets_workers_of_its_own_and_goes_back_and_no_request_fails(project, ours, url, other_pins):
    """Promise 7: back and forth between two environments under load, over new and reused connections."""
    other = make_release(project.releases, contract("fraud_v2", stored=False), factor=1.1, pins=other_pins)
    assert lacking(packages(project.releases / other))[0].startswith("flatbuffers 25.9.23 (here ")
    before = set(health(project)["serving"])
    with Steady(url, body=body) as load:
        done = mlops("deploy", "staging", other, cwd=project.root)
        assert done.code == 0, done
        workers = health(project)["serving"]
        assert set(workers.values()) == {other}
        assert len(workers) == 2
        assert not before & set(workers), "the old ones serve no more"
        assert {command(pid) for pid in workers} == {str(interpreter(project.home / "python", other_pins))}
        time.sleep(0.5)
        done = mlops("rollback", "staging", cwd=project.root)
        assert done.code == 0, done
        time.sleep(0.5)
    assert load.failures == []
    assert load.answers[ours] > 100
    assert load.answers[other] > 50
    assert set(health(project)["serving"].values()) == {ours}


def test_one_that_never_gets_ready_gets_no_request_and_the_old_workers_go_on(project, ours, url, other_pins):
    """Promise 9: its rehearsal is passed over, so only its own workers can tell."""
    bad = make_release(project.releases, contract("fraud_v3", stored=False), factor=2.0, broken=True, pins=other_pins)
    before = set(health(project)["serving"])
    with Steady(url, body=body) as load:
        with pytest.raises(DeploymentFailed, match="golden request"):
            deploy(project, environment="staging", release=bad)
        hasty = replace(chosen.local(project, "staging"), patience=6.0, rehearses=False)
        with pytest.raises(DeploymentFailed, match=f"{ours} is live"):
            hasty.move(Order(action="deploy", family="fraud", release=bad, who="test", reason=""))
    assert load.failures == []
    assert set(load.answers) == {ours}
    assert set(health(project)["serving"]) == before


def test_it_cannot_be_tried_in_the_process_of_the_live_one(project, ours, url, other_pins):
    other = make_release(project.releases, contract("fraud_v4", stored=False), factor=1.2, pins=other_pins)
    with pytest.raises(DeploymentFailed, match="cannot share a process") as caught:
        try_out(project, environment="staging", release=other, plan=Plan(share=0.4, seconds=2.0))
    assert "deploy it without a trial" in caught.value.next_step
    assert status(project, environment="staging").facts["families"][0]["trials"] == []


def test_workers_are_renewed_under_load_when_it_is_asked_for(project, ours, url):
    """Promise 7: what an upgrade of mlops needs."""
    before, server = set(health(project)["serving"]), health(project)["pid"]
    with Steady(url, body=body) as load:
        os.kill(server, signal.SIGUSR1)
        deadline = time.monotonic() + 60
        while (now := set(health(project)["serving"])) & before or len(now) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.5)
    assert load.failures == []
    assert health(project)["pid"] == server


def test_workers_whose_supervisor_was_killed_end_and_the_next_server_has_the_packages_that_are_needed(
    project, ours, url, other_pins
):
    """The last, because it ends the server: nobody is left behind who answers for nobody."""
    facts = health(project)
    os.kill(facts["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in facts["serving"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert health(project)["serving"] == {}
    other = make_release(project.releases, contract("fraud_v5", stored=False), pins=other_pins)
    deploy(project, environment="staging", release=other)
    with serving(project.root) as address:
        assert address != url
        workers = health(project)["serving"]
        assert set(workers.values()) == {other}
        assert {command(pid) for pid in workers} == {str(interpreter(project.home / "python", other_pins))}


def alive(pid):
    """Whether it runs; one that has ended may wait for whoever inherits it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
