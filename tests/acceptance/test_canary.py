"""Canaries and shadows under load: slow, broken, held, left alone by who deployed them, ended by a rollback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mlops.adapters import bentoserver
from mlops.errors import DeploymentFailed
from mlops.judging import Plan
from mlops.steps.deploy import deploy, resume, try_out
from mlops.steps.rollback import rollback
from mlops.steps.status import status
from mlops.verdict import Outcome
from tests.serving.releases import contract, make_project, make_release
from tests.serving.served import served
from tests.serving.steady import Steady, any_amount

PLANTED = "if (((amount * 100).round() % 20) == 7).any(): raise RuntimeError('planted')"  # of one request in twenty
HANGING = "import time; time.sleep(600 * bool((((amount * 100).round() % 2) == 1).any()))"  # of odd cents
ANSWER_SECONDS = 2.0
SLOW = "import time; time.sleep(0.05)"
STEP = (
    "import sys; from pathlib import Path; from mlops.workspace import open_workspace;"
    "from mlops.judging import Plan; from mlops.steps.deploy import try_out;"
    "workspace = open_workspace(Path(sys.argv[1]));"
)
TRY = (
    f"{STEP} try_out(workspace, environment='staging', release=sys.argv[2], plan=Plan(share=0.4, seconds=8, look=0.3))"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    return make_project(root, port=bentoserver.free_port(), workers=2)


@pytest.fixture(scope="module")
def make(project):
    """A release of the given version; without stored features, so the request id decides who answers."""
    return lambda model, **how: make_release(project.releases, contract(model, stored=False), **how)


@pytest.fixture(scope="module")
def first(project, make):
    name = make("fraud_v1")
    deploy(project, environment="staging", release=name)
    return name


@pytest.fixture(scope="module")
def url(project, first):
    with served(project, MLOPS_ANSWER_SECONDS=str(ANSWER_SECONDS)) as port:
        yield f"http://127.0.0.1:{port}"


def family(project):
    return status(project, environment="staging").facts["families"][0]


def live(project):
    return family(project)["standing"]["live"]


def events(project):
    return [(one["action"], one["to"], one["outcome"].partition(":")[0]) for one in family(project)["history"][::-1]]


def tried(project, release, **plan):
    """How a trial of the release ended, and what its checks found."""
    record = try_out(project, environment="staging", release=release, plan=Plan(look=0.3, **plan))
    return record.facts, {one.check: one for one in record.verdict.findings} if record.verdict else {}


def until(true, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def test_a_slow_canary_is_rolled_back(project, make, url):
    """Promise 9."""
    slow, before = make("fraud_v3", factor=1.1, fault=SLOW), live(project)
    with Steady(url, rate=60, body=any_amount) as load:
        facts, found = tried(project, slow, share=0.2, seconds=120.0)
    assert (facts["outcome"], facts["release"]) == ("rolled back", before)
    assert found["canary.latency"].outcome is Outcome.FAIL
    assert load.failures == []


def test_a_canary_that_hangs_is_rolled_back_and_holds_up_nobody_else(project, make, url):
    """Promise 9."""
    hanging, before = make("fraud_v8", factor=1.1, fault=HANGING), live(project)
    with Steady(url, rate=60, body=any_amount) as load:
        facts, found = tried(project, hanging, share=0.3, seconds=120.0)
    assert (facts["outcome"], facts["release"]) == ("rolled back", before)
    assert found["canary.errors"].outcome is Outcome.FAIL
    assert {status for status, _ in load.failures} <= {503, 504}
    assert load.answers[before] > 100
    assert found["canary.workers"].outcome is Outcome.PASS


def test_a_canary_that_cannot_be_loaded_never_gets_a_request_and_is_told(project, make, url):
    """Promise 9."""
    bad, before = make("fraud_v4", factor=2.0, broken=True), live(project)
    with Steady(url, body=any_amount) as load:
        facts, found = tried(project, bad, share=0.5)
    assert facts["outcome"] == "rolled back"
    assert list(found) == ["canary.ready"]
    assert "golden request" in found["canary.ready"].message
    assert load.failures == []
    assert set(load.answers) == {before}


def test_without_requests_a_canary_is_held_and_may_go_on_later(project, make, url):
    fresh, before = make("fraud_v5", factor=1.2), live(project)
    facts, _ = tried(project, fresh, share=0.5, seconds=0.5)
    assert (facts["outcome"], facts["release"]) == ("held", before)
    (trial,) = family(project)["trials"]
    assert trial["release"] == fresh
    assert trial["held"]
    assert trial["judge"] is None
    with Steady(url, body=any_amount) as load:
        time.sleep(0.5)
        assert set(load.answers) == {before}, "while it is held it is asked nothing"
        facts = resume(project, environment="staging", seconds=5.0, look=0.3).facts
    assert (facts["outcome"], facts["release"]) == ("promoted", fresh)
    assert load.failures == []
    assert family(project)["trials"] == []


def test_a_deployer_that_is_killed_leaves_a_canary_that_is_named_and_gone_on_with(project, make, first, url):
    """Promise 12."""
    fresh = make("fraud_v6", factor=1.1)
    with Steady(url, body=any_amount) as load:
        killed = subprocess.Popen([sys.executable, "-c", TRY, str(project.root), fresh])
        until(lambda: load.answers[fresh] > 50)
        assert family(project)["trials"][0]["judge"] == killed.pid
        with pytest.raises(DeploymentFailed, match=f"judged in staging by process {killed.pid}"):
            deploy(project, environment="staging", release=first)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        (trial,) = family(project)["trials"]
        assert (trial["release"], trial["judge"], trial["held"]) == (fresh, None, "")
        facts = resume(project, environment="staging", look=0.3).facts
    assert (facts["outcome"], facts["release"]) == ("promoted", fresh)
    assert load.failures == []


def test_the_next_deployment_ends_a_canary_whose_deployer_died(project, make, first, url):
    fresh = make("fraud_v7", factor=1.3)
    killed = subprocess.Popen([sys.executable, "-c", TRY, str(project.root), fresh])
    until(lambda: bool(family(project)["trials"]))
    killed.kill()
    killed.wait()
    facts = deploy(project, environment="staging", release=first).facts
    assert facts["release"] == live(project) == first
    assert facts["mended"] == (f"the canary {fresh} was ended: its deployer died",)
    assert ("canary", fresh, "ended") in events(project)
    assert family(project)["trials"] == []


def test_a_rollback_ends_a_canary_at_once(project, make, url):
    fresh, before = make("fraud_v8", factor=1.1), live(project)
    ended = []
    with Steady(url, body=any_amount) as load:
        watching = threading.Thread(target=lambda: ended.append(tried(project, fresh, share=0.4, seconds=300.0)))
        watching.start()
        until(lambda: load.answers[fresh] > 20)
        facts = rollback(project, environment="staging", reason="complaints").facts
        assert (facts["ended"], facts["release"], facts["changed"]) == ([fresh], before, False)
        time.sleep(0.5)
        asked = load.answers[fresh]
        watching.join(20)
        time.sleep(0.5)
        assert load.answers[fresh] == asked
    assert load.failures == []
    assert ended[0][0]["outcome"] == "ended"
    assert events(project)[-1] == ("canary", fresh, "ended")


def test_a_shadow_is_compared_and_answers_nobody(project, make, url):
    other, before = make("fraud_v9", factor=40.0, fault=PLANTED), live(project)
    with Steady(url, rate=50, body=any_amount) as load:
        facts, found = tried(project, other, kind="shadow", seconds=6.0)
    assert (facts["outcome"], facts["release"]) == ("compared", before)
    assert 0.01 < found["canary.shadow"].measured / found["canary.shadow"].n < 0.15
    assert found["canary.difference"].n > 100
    assert load.failures == []
    assert set(load.answers) == {before}


def test_a_worker_that_dies_comes_back_on_the_same_pointer_and_its_canary_is_rolled_back(project, make, url):
    """Promise 9: who knows whether the canary killed it."""
    fresh, before = make("fraud_v10", factor=1.1), live(project)
    ended = []
    with Steady(url, rate=50, body=any_amount) as load:
        watching = threading.Thread(target=lambda: ended.append(tried(project, fresh, share=0.4, seconds=300.0)))
        watching.start()
        until(lambda: load.answers[fresh] > 20)
        time.sleep(1.0)
        dead = next(iter(family(project)["health"]["serving"]))
        os.kill(dead, signal.SIGKILL)
        watching.join(60)
    facts, found = ended[0]
    assert (facts["outcome"], facts["release"]) == ("rolled back", before)
    assert found["canary.workers"].outcome is Outcome.FAIL
    until(lambda: len(family(project)["health"]["serving"]) == 2)
    assert set(family(project)["health"]["serving"].values()) == {before}
    assert dead not in family(project)["health"]["serving"]
