"""`lineage`: what a release was made of, and where it was live."""

from __future__ import annotations

import pytest

from mlops.errors import UsageError
from mlops.steps.deploy import deploy
from mlops.steps.lineage import lineage
from mlops.workspace import open_workspace
from tests.serving.releases import contract, make_project, make_release


@pytest.fixture
def project(tmp_path):
    make_project(tmp_path)
    workspace = open_workspace(tmp_path)
    workspace.releases.mkdir(parents=True)
    return workspace


def test_a_release_tells_what_it_was_made_of_and_where_it_was_live(project):
    name = make_release(project.releases, contract(computed=False, stored=False))
    deploy(project, environment="staging", release=name)
    facts = lineage(project, release=name[:12]).facts
    assert facts["release"] == name
    assert set(facts["up"]) >= {"commit", "model", "features", "data", "parameters", "metrics", "gates"}
    assert [(event["action"], event["to"]) for event in facts["down"]] == [("deploy", name)]


def test_a_release_that_is_not_there_is_an_error_with_those_that_are(project):
    name = make_release(project.releases, contract(computed=False, stored=False))
    with pytest.raises(UsageError) as error:
        lineage(project, release="churn_v1")
    assert name in error.value.next_step
