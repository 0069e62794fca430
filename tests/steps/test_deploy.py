from __future__ import annotations

import pytest

from mlops.errors import DeploymentFailed, UsageError
from mlops.steps.deploy import deploy
from mlops.workspace import open_workspace
from tests.serving.releases import contract, make_project, make_release


@pytest.fixture
def project(tmp_path):
    make_project(tmp_path)
    workspace = open_workspace(tmp_path)
    workspace.releases.mkdir(parents=True)
    return workspace


@pytest.fixture
def name(project):
    return make_release(project.releases, contract(computed=False, stored=False))


def test_the_facts_say_what_went_live_by_whom_and_why(project, name):
    record = deploy(project, environment="staging", release=name, reason="the first")
    assert record.step == "deploy"
    facts = record.facts
    assert (facts["release"], facts["previous"], facts["changed"], facts["reason"]) == (name, None, True, "the first")
    assert "@" in facts["who"]


def test_the_beginning_of_a_release_s_name_is_enough(project, name):
    assert deploy(project, environment="staging", release=name[:12]).facts["release"] == name


def test_an_unknown_environment_or_release_is_named_with_the_nearest(project, name):
    with pytest.raises(UsageError) as caught:
        deploy(project, environment="stagin", release=name)
    assert "'staging'" in caught.value.next_step
    with pytest.raises(UsageError, match="there is no release 'fraud_v9'"):
        deploy(project, environment="staging", release="fraud_v9")


def test_a_half_release_is_refused(project, name):
    """Promise 10."""
    (project.releases / name / "bento" / "src" / "release" / "golden.json").unlink()
    with pytest.raises(DeploymentFailed) as caught:
        deploy(project, environment="staging", release=name)
    assert caught.value.exit_code == 5
    assert not (project.environments / "staging" / "fraud" / "pointer.json").exists()
