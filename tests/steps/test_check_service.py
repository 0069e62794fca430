"""check-service on real bentos, each booted as a real server."""

from __future__ import annotations

import json
import shutil

import pytest

from mlops.adapters.files import tree
from mlops.config import Load
from mlops.exhibits import decode
from mlops.gates import online
from mlops.gates import service as gate
from mlops.serving.golden import Golden
from mlops.steps.check_service import Rival, check_service
from mlops.trial import rounds
from mlops.verdict import Outcome
from mlops.workspace import open_workspace
from tests.serving.releases import contract, make_bento, make_project, make_release

SHORT = Load(seconds=0.3, connections=2, p99_ms=5000.0, qps=1.0)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    return make_project(root)


@pytest.fixture(scope="module")
def bento(project, tmp_path_factory):
    return make_bento(project.releases, make_release(project.releases), tmp_path_factory.mktemp("home"))


def findings(record):
    return {finding.check: finding for finding in record.verdict.findings}


def test_a_sound_bento_passes_every_check_and_stays_as_it_was(project, bento):
    before = tree(bento)
    record = check_service(project, bento=bento, limits=SHORT, training=None)
    found = findings(record)
    skipped = {check: one.message for check, one in found.items() if one.outcome is Outcome.SKIPPED}
    assert {check for check, one in found.items() if one.outcome is Outcome.PASS} == {*gate.CHECKS} - {*skipped}
    assert skipped["service.champion"] == "no release is live to be compared with"
    assert set(skipped) == {"service.champion", "service.memory"}
    assert {f.check: f.outcome for f in record.verdict.fired} == dict.fromkeys(online.CHECKS, Outcome.NOT_RUN)
    assert not record.verdict.accepted, "nothing was compared with training"
    assert record.metrics["errors"] == 0
    assert record.metrics["qps"] > 1
    assert 0 < record.metrics["p50_ms"] <= record.metrics["p99_ms"]
    assert tree(bento) == before
    assert list(project.scratch.iterdir()) == []


def test_limits_that_are_not_met_fail_with_what_was_measured(project, bento):
    strict = Load(seconds=0.3, connections=2, p99_ms=0.001, qps=1e9)
    found = findings(check_service(project, bento=bento, limits=strict, training=None))
    assert found["service.latency"].outcome is Outcome.FAIL
    assert found["service.latency"].measured > 0.001
    assert found["service.throughput"].outcome is Outcome.FAIL


@pytest.mark.parametrize("harm", ["golden", "code", "import"])
def test_a_bento_that_does_not_boot_fails_with_its_last_words(project, bento, tmp_path, harm):
    """Promise 9."""
    broken = shutil.copytree(bento, tmp_path / "bento")
    if harm == "golden":
        golden = broken / "src" / "release" / "golden.json"
        cases = json.loads(golden.read_text())
        cases[0]["answer"]["probability"] += 0.3
        golden.write_text(json.dumps(cases))
        word = "golden request 0"
    elif harm == "code":
        (broken / "src" / "features" / "money.py").write_text("raise RuntimeError('planted')")
        word = "planted"
    else:
        (broken / "src" / "mlops" / "serving" / "service.py").write_text("import no_such_module_here")
        word = "no_such_module_here"
    record = check_service(project, bento=broken, limits=SHORT, training=None)
    assert record.verdict.outcome is Outcome.FAIL
    found = findings(record)
    assert word in found["service.boot"].message
    assert {f.outcome for check, f in found.items() if check != "service.boot"} == {Outcome.NOT_RUN}


def test_one_entity_with_two_histories_is_asked_in_two_rounds():
    def case(customer, mean):
        return Golden(request={"customer_id": customer}, stored={"mean_7d": mean}, answer={})

    cases = [case(1, 5.0), case(2, None), case(1, 5.0), case(1, 6.0), case(2, 1.0)]
    assert [len(some) for some in rounds(contract(), cases)] == [3, 2]
    assert rounds(contract(stored=False, computed=False), cases) == [cases]


OWN = """
from mlops import check


@check(on="service")
def is_quick_and_sure(ask, requests, contract):
    for request in requests:
        answer = ask(request)
        assert answer.status == 200
        assert answer.seconds < 10
        assert 0 <= answer.body["probability"] <= 1
    assert contract.model == "fraud_v1"


@check(on="service")
def refuses_the_empty_request(ask):
    assert ask({}).status == 200, "the empty request is refused"


@check(on="service")
def crashes(url):
    raise OSError(url)
"""


ASKED = """
import pytest

@pytest.mark.mlops_model("fraud_v1")
def test_is_quick_and_sure(mlops_ask, mlops_requests, mlops_contract, mlops_url):
    assert mlops_requests
    for request in mlops_requests:
        answer = mlops_ask(request)
        assert answer.status == 200
        assert 0 <= answer.body["probability"] <= 1
    assert mlops_contract.model == "fraud_v1"
    assert mlops_url.startswith("http://127.0.0.1:")

def test_takes_the_empty_request(mlops_ask):
    assert mlops_ask({}).status == 200, "the empty request is refused"

def test_needs_the_rows(mlops_rows):
    assert len(mlops_rows)
"""


def test_a_users_own_checks_and_tests_ask_the_running_service(project, bento, tmp_path):
    """Promise 2: one that says no and one that crashes both stop it, and each says where it stands."""
    shutil.copytree(project.root, tmp_path / "project")
    asked = tmp_path / "project" / "tests" / "service" / "test_asked.py"
    asked.parent.mkdir(parents=True)
    asked.write_text(ASKED)
    workspace = open_workspace(tmp_path / "project")
    (workspace.root / "models").mkdir(exist_ok=True)
    (workspace.root / "models" / "rules.py").write_text(OWN)
    record = check_service(workspace, bento=bento, limits=SHORT, training=None)
    found = findings(record)
    assert found["own.is_quick_and_sure"].outcome is Outcome.PASS, found["own.is_quick_and_sure"].message
    assert found["own.refuses_the_empty_request"].outcome is Outcome.FAIL
    assert "models/rules.py:15" in found["own.refuses_the_empty_request"].next_step
    assert found["own.crashes"].outcome is Outcome.NOT_RUN
    assert "http://127.0.0.1:" in found["own.crashes"].message
    tests = {name.partition("::")[2]: one for name, one in found.items() if name.startswith("own.tests/service/")}
    assert tests["test_is_quick_and_sure"].outcome is Outcome.PASS, tests["test_is_quick_and_sure"].message
    assert tests["test_takes_the_empty_request"].outcome is Outcome.FAIL
    assert "AssertionError: the empty request is refused" in tests["test_takes_the_empty_request"].message
    assert tests["test_needs_the_rows"].outcome is Outcome.NOT_RUN
    assert record.verdict.outcome is Outcome.FAIL


def test_a_run_compares_what_requests_get_with_what_training_saw(banked):
    """The whole way: stored features, the model's inputs and the running service's answers, at moments of the past."""
    found = findings(banked[1].record("check-service:fraud_v2"))
    for check in online.CHECKS:
        assert found[check].outcome is Outcome.PASS, found[check].message
        assert found[check].n == 20, "each customer once"
    assert "spend_v2" in found["service.features"].message


def slowed(bento, folder, seconds):
    """The bento with on-demand code that takes `seconds` longer, and answers the same."""
    copy = shutil.copytree(bento, folder)
    code = copy / "src" / "features" / "money.py"
    wait = f"    import time; time.sleep({seconds})\n    return FACTOR"
    code.write_text(code.read_text().replace("    return FACTOR", wait))
    return copy


def test_one_that_is_slower_than_the_champion_is_found_on_the_same_machine(project, bento, tmp_path):
    slow = slowed(bento, tmp_path / "slow", 0.02)
    limits = Load(seconds=0.8, connections=2, p99_ms=5000.0, qps=1.0, slower=1.5)
    record = check_service(
        project, bento=slow, limits=limits, training=None, rival=Rival(release="the old", bento=bento)
    )
    slower = findings(record)["service.champion"]
    assert slower.outcome is Outcome.FAIL
    assert slower.interval[0] > 1.5
    assert "of the old; limit 1.5 times" in slower.message
    assert record.metrics["slower"] > record.metrics["slower_low"] > 1.5
    assert record.metrics["memory_mb"] > 20
    assert record.metrics["champion_memory_mb"] > 20
    assert record.metrics["champion_qps"] > record.metrics["qps"]
    [shown] = decode(project.objects.get(record.outputs["exhibits"]))
    assert shown.columns == ("under load", "challenger", "champion the old")
    assert list(project.scratch.iterdir()) == []


def test_one_that_is_quicker_than_the_champion_passes(project, bento, tmp_path):
    slow = Rival(release="the old", bento=slowed(bento, tmp_path / "slow", 0.1))
    limits = Load(seconds=1.6, connections=2, p99_ms=5000.0, qps=1.0)
    record = check_service(project, bento=bento, limits=limits, training=None, rival=slow)
    assert findings(record)["service.champion"].outcome is Outcome.PASS, findings(record)["service.champion"]
    assert record.metrics["slower"] < 1


def test_a_champion_that_does_not_boot_any_more_is_a_skip_with_the_reason(project, bento, tmp_path):
    gone = shutil.copytree(bento, tmp_path / "gone")
    (gone / "src" / "mlops" / "serving" / "service.py").write_text("import no_such_module_here")
    rival = Rival(release="the old", bento=gone)
    record = check_service(project, bento=bento, limits=SHORT, training=None, rival=rival)
    compared = findings(record)["service.champion"]
    assert compared.outcome is Outcome.SKIPPED
    assert "the champion the old does not boot here any more" in compared.message
    assert "no_such_module_here" in compared.message
    assert "slower" not in record.metrics
    assert list(project.scratch.iterdir()) == []
