from __future__ import annotations

import json
import re

import msgspec
import pytest
from click.testing import CliRunner

from mlops.cli.status import command
from mlops.errors import UsageError
from mlops.steps.deploy import deploy
from mlops.steps.status import status
from mlops.stores.exchange import publish
from mlops.stores.online import FILE
from tests.serving.releases import contract, make_project, make_release


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path)


def test_an_environment_where_nothing_was_deployed_says_so(project):
    assert status(project, environment="staging").facts == {
        "environment": "staging",
        "families": [],
        "views": [],
    }


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


def test_it_says_how_fresh_each_view_is_online(project):
    online = project.environments / "staging" / FILE
    day = 86_400.0
    rows = [{"customer": 1, "at": 9 * day, "mean": 1.0}, {"customer": 2, "at": 2 * day, "mean": 2.0}]
    publish(online, "spend_v1", "customer", rows, 5 * day, timestamp="at")
    publish(online, "risk_v1", "terminal", [], timestamp="at")
    risk, spend = status(project, environment="staging", now=10 * day).facts["views"]
    assert (spend["view"], spend["entity"], spend["entities"]) == ("spend_v1", "customer", 2)
    assert (spend["newest"], spend["age_seconds"], spend["expired"]) == ("1970-01-10T00:00:00+00:00", day, 0.5)
    assert spend["published"].startswith("20")
    assert (risk["entities"], risk["newest"], risk["expired"]) == (0, None, None)


def test_the_command_tells_it_as_text_and_json(project):
    online = project.environments / "staging" / FILE
    publish(online, "spend_v1", "customer", [{"customer": 1, "mean": 1.0}], 60.0)
    shown = CliRunner().invoke(command, ["staging", "--project", str(project.root)])
    assert shown.exit_code == 0, shown.output
    assert re.search(r"features\n +spend_v1  1 of customer, newest \d s old, 0% expired, published 20", shown.output)
    told = CliRunner().invoke(command, ["staging", "--json", "--project", str(project.root)])
    assert json.loads(told.output)[0]["views"][0]["entities"] == 1


def test_an_unknown_environment_is_an_error(project):
    with pytest.raises(UsageError, match="unknown environment"):
        status(project, environment="prod")
