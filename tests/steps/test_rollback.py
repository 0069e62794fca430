"""Deploy, serve, status and rollback against one real server; they share it, because it takes seconds to start."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter

import aiohttp
import pytest

from mlops.adapters import bentoserver
from mlops.errors import NothingToDo, RollbackFailed, UsageError
from mlops.steps.deploy import deploy
from mlops.steps.rollback import rollback
from mlops.steps.status import status
from mlops.workspace import open_workspace
from tests.serving.releases import contract, make_project, make_release, publish_customers

SERVE = (
    "import sys; from pathlib import Path; from mlops.workspace import open_workspace;"
    "from mlops.steps.serve import serve;"
    "serve(open_workspace(Path(sys.argv[1])), environment='staging')"
)
ROLLBACK = """
import sys, time
started = time.perf_counter()
from pathlib import Path
from mlops.workspace import open_workspace
from mlops.steps.rollback import rollback
rollback(open_workspace(Path(sys.argv[1])), environment="staging", to=sys.argv[2])
print(time.perf_counter() - started)
assert not {"mlflow", "pandas", "bentoml"} & set(sys.modules)
"""
BODY = b'{"customer_id": 1, "amount": 20.0}'


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    make_project(root, port=bentoserver.free_port(), workers=2)
    workspace = open_workspace(root)
    workspace.releases.mkdir(parents=True)
    return workspace


@pytest.fixture(scope="module")
def names(project):
    return [make_release(project.releases, contract(f"fraud_v{n}"), factor=float(n)) for n in (1, 2, 3)]


@pytest.fixture(scope="module")
def url(project, names):
    publish_customers(project.environments / "staging" / "online.sqlite")
    deploy(project, environment="staging", release=names[0], reason="first")
    port = project.config.environments["staging"].port
    with (project.root / "serve.log").open("wb") as log:
        server = subprocess.Popen([sys.executable, "-c", SERVE, str(project.root)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while len(status(project, environment="staging").facts["families"][0]["health"]["serving"]) < 2:
            assert server.poll() is None, (project.root / "serve.log").read_text()
            assert time.monotonic() < deadline, (project.root / "serve.log").read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        assert server.wait(20) == 0
    assert not status(project, environment="staging").facts["families"][0]["health"]["running"]
    assert not (project.environments / "staging" / "fraud" / "server.json").exists()


class Steady:
    """Requests at a steady rate, half over kept connections and half each over a new one, whatever happens."""

    def __init__(self, url, rate=200):
        self.url, self.rate = f"{url}/predict", rate
        self.answers = Counter()
        self.failures = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    async def _run(self):
        kept = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8))
        new = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        async with kept, new:
            tasks, started, number = [], time.perf_counter(), 0
            while not self.stopping.is_set():
                tasks.append(asyncio.create_task(self._one(new if number % 2 else kept)))
                number += 1
                await asyncio.sleep(max(0.0, started + number / self.rate - time.perf_counter()))
            await asyncio.gather(*tasks)

    async def _one(self, session):
        try:
            async with session.post(self.url, data=BODY) as response:
                answer = await response.json()
                if response.status == 200:
                    self.answers[answer["release"]] += 1
                else:
                    self.failures.append((response.status, answer))
        except Exception as error:  # noqa: BLE001  # whatever it is, the request has failed
            self.failures.append(repr(error))


def ask(url):
    async def one():
        async with aiohttp.ClientSession() as session, session.post(f"{url}/predict", data=BODY) as response:
            return await response.json()

    return asyncio.run(one())


def test_switching_under_load_fails_no_request(project, names, url):
    """Promise 7, in small: deploys and rollbacks at 200 requests/s over new and reused connections."""
    with Steady(url) as load:
        for _ in range(3):
            deploy(project, environment="staging", release=names[1])
            time.sleep(0.2)
            rollback(project, environment="staging")
            time.sleep(0.2)
        deploy(project, environment="staging", release=names[2])
        rollback(project, environment="staging", to=names[0], reason="N-2")
        time.sleep(0.3)
    assert load.failures == []
    assert sum(load.answers.values()) > 200
    assert {names[0], names[1]} <= set(load.answers)


def test_all_workers_serve_what_is_live(project, names, url):
    deploy(project, environment="staging", release=names[1])
    facts = status(project, environment="staging").facts["families"][0]
    assert facts["standing"]["live"] == names[1]
    assert list(facts["health"]["serving"].values()) == [names[1]] * 2
    assert facts["health"]["ready"]
    assert facts["health"]["serving_other"] == []
    assert {ask(url)["release"] for _ in range(8)} == {names[1]}


def test_a_release_brings_its_own_features_and_answers(project, names, url):
    answers = {}
    for name in (*names, *names):
        rollback(project, environment="staging", to=name)
        answer = ask(url)
        assert answer["release"] == name
        assert answers.setdefault(name, answer["probability"]) == answer["probability"]
    assert len(set(answers.values())) == 3


def test_a_warm_rollback_takes_less_than_a_second(project, names, url):
    """Promise 8."""
    rollback(project, environment="staging", to=names[0])
    deploy(project, environment="staging", release=names[1])
    done = subprocess.run(
        [sys.executable, "-c", ROLLBACK, str(project.root), names[0]], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) <= 1.0


def test_a_release_that_fails_its_self_check_never_answers(project, names, url):
    """Promise 9: its manifest is in order, so only the workers can tell."""
    rollback(project, environment="staging", to=names[0])
    bad = make_release(project.releases, contract("fraud_v4"), factor=2.0, broken=True)
    with Steady(url) as load, pytest.raises(Exception, match="golden request") as caught:
        deploy(project, environment="staging", release=bad)
    assert caught.value.exit_code == 5
    assert load.failures == []
    assert set(load.answers) <= {names[0]}
    assert status(project, environment="staging").facts["families"][0]["standing"]["live"] == names[0]


def test_a_damaged_or_missing_release_is_refused_before_anything_moves(project, names, url):
    """Promise 10."""
    rollback(project, environment="staging", to=names[0])
    damaged = make_release(project.releases, contract("fraud_v5"))
    (project.releases / damaged / "bento" / "src" / "features" / "money.py").write_text("")
    with pytest.raises(RollbackFailed, match="not whole"):
        rollback(project, environment="staging", to=damaged)
    (project.releases / damaged / "manifest.json").unlink()
    with pytest.raises(RollbackFailed, match="manifest is missing"):
        rollback(project, environment="staging", to=damaged)
    with pytest.raises(UsageError, match="no release"):
        rollback(project, environment="staging", to="fraud_v9-000000000000")
    assert ask(url)["release"] == names[0]
    shutil.rmtree(project.releases / damaged)


def test_a_second_rollback_never_brings_the_refused_release_back(project, names, url):
    rollback(project, environment="staging", to=names[0])
    facts = status(project, environment="staging").facts["families"][0]["standing"]
    if facts["previous"] is None:
        with pytest.raises(NothingToDo, match="no release before"):
            rollback(project, environment="staging")
    assert ask(url)["release"] == names[0]


def test_an_environment_without_a_release_has_nothing_to_roll_back(project):
    with pytest.raises(NothingToDo, match="nothing has been deployed to production"):
        rollback(project, environment="production")
