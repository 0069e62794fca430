from __future__ import annotations

import msgspec
import pytest

from mlops.errors import UsageError
from mlops.steps.deploy import deploy
from mlops.steps.status import status
from mlops.workspace import open_workspace
from tests.serving.releases import contract, make_project, make_release


@pytest.fixture
def project(tmp_path):
    make_project(tmp_path)
    workspace = open_workspace(tmp_path)
    workspace.releases.mkdir(parents=True)
    return workspace


def test_an_environment_where_nothing_was_deployed_says_so(project):
    assert status(project, environment="staging").facts == {"environment": "staging", "families": []}


def test_it_says_what_is_live_since_when_and_what_runs(project):
    name = make_release(project.releases, contract(computed=False, stored=False))
    deploy(project, environment="staging", release=name, reason="because")
    record = status(project, environment="staging")
    (family,) = record.facts["families"]
    assert family["family"] == "fraud"
    assert (family["standing"]["live"], family["standing"]["reason"]) == (name, "because")
    assert not family["health"]["running"]
    assert [row["to"] for row in family["history"]] == [name]
    assert msgspec.json.encode(record.facts)


def test_an_unknown_environment_is_an_error(project):
    with pytest.raises(UsageError, match="unknown environment"):
        status(project, environment="prod")
