"""A release's whole life under load, by the command line alone: canary, its own rollback, promotion, rollback, deploy.

The load never pauses: 200 requests a second, half of them over connections that are used again, half over new ones.
"""

from __future__ import annotations

import random
import time

import pytest

from mlops.adapters.bentoserver import free_port
from mlops.steps.deploy import deploy
from mlops.steps.rollback import rollback
from tests.acceptance.journeys import mlops, serving
from tests.serving.releases import contract, make_project, make_release
from tests.serving.steady import Steady

pytestmark = pytest.mark.acceptance

CENTS = 20
PLANTED = f"if (((amount * 100).round() % {CENTS}) == 7).any(): raise RuntimeError('planted')"  # one amount in twenty
SWITCHES = 40
BETWEEN = 75  # answers between two switches


def amount(number):
    """Whole cents, so that it is known whom the planted fault strikes."""
    return random.Random(number).randrange(10_000)


def body(number):
    return b'{"amount": %.2f}' % (amount(number) / 100)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("journey") / "shop"
    return make_project(root, port=free_port(), workers=2)


@pytest.fixture(scope="module")
def names(project):
    """Version 1, version 2 that fails one request in twenty, and version 2 mended."""
    first, second = contract("fraud_v1", stored=False), contract("fraud_v2", stored=False)
    return (
        make_release(project.releases, first),
        make_release(project.releases, second, factor=1.1, fault=PLANTED),
        make_release(project.releases, second, factor=1.1),
    )


@pytest.fixture(scope="module")
def url(project, names):
    assert mlops("deploy", "staging", names[0], cwd=project.root).code == 0
    with serving(project.root) as address:
        yield address


def history(project):
    return mlops("status", "staging", "--json", cwd=project.root).json[0]["families"][0]["history"][::-1]


def events(project):
    return [(one["action"], one["to"], one["outcome"].partition(":")[0]) for one in history(project)]


def test_from_a_faulty_canary_to_its_mended_release_and_back_and_forth(project, names, url):
    """Promise 7: no request fails but those that the planted fault itself answered."""
    first, faulty, mended = names
    root = project.root
    with Steady(url, body=body) as load:
        done = mlops("deploy", "staging", faulty, "--canary", "40%", "--for", "5m", "--json", cwd=root)
        assert done.code == 5, done
        assert done.json["error"] == f"{faulty} was rolled back; {first} serves"
        worse = next(one for one in done.json["findings"] if one["check"] == "canary.errors")
        assert worse["outcome"] == "fail"
        assert worse["n"] == done.json["requests"] > 0
        assert worse["interval"][0] > 1.0
        time.sleep(0.5)
        asked = load.answers[faulty]

        done = mlops("deploy", "staging", mended, "--canary", "40%", "--for", "6s", cwd=root)
        assert done.code == 0, done
        assert f"live: {mended}" in done.out
        assert mlops("rollback", "staging", "--reason", "complaints", cwd=root).code == 0
        assert mlops("deploy", "staging", mended, "--reason", "they were unfounded", cwd=root).code == 0
        time.sleep(0.5)

    struck = [number for number, failure in load.failed if failure[0] == 500 and amount(number) % CENTS == 7]
    assert struck, "the canary's fault was met"
    assert [one for one in load.failed if one[0] not in struck] == []
    assert load.answers[faulty] == asked, "after its rollback it answered nobody"
    assert load.answers[first] > 0
    assert load.answers[mended] > 0
    assert sum(load.answers.values()) > 1_000
    judged = next(one for one in history(project) if one["to"] == faulty)
    assert any("canary.errors fail" in sentence for sentence in judged["evidence"])
    assert len(load.failed) < 0.15 * (asked + len(load.failed)), "only the planted twentieth of the canary's requests"
    assert events(project) == [
        ("deploy", first, "done"),
        ("canary", faulty, "rolled back"),
        ("deploy", mended, "done"),
        ("canary", mended, "done"),
        ("rollback", first, "done"),
        ("deploy", mended, "done"),
    ]


def test_forty_switches_under_load_fail_no_request(project, names, url):
    """Promise 7: 40 switches, 0 failed of at least 3,000."""
    first, _, mended = names
    rollback(project, environment="staging", to=mended)
    with Steady(url, body=body) as load:
        for switch in range(SWITCHES):
            to = (first, mended)[switch % 2]
            if switch % 4 < 2:
                rollback(project, environment="staging", to=to)
            else:
                deploy(project, environment="staging", release=to)
            while load.answers.total() < (switch + 1) * BETWEEN and not load.failed:
                time.sleep(0.02)
    assert load.failed == []
    assert set(load.answers) == {first, mended}
    assert load.answers.total() >= 3_000
