"""What `mlops run` says to do next is not refused."""

from __future__ import annotations

import json
import shlex

import pytest

from mlops.cli.examples import next_lines
from mlops.steps.deploy import deploy
from tests.serving.releases import contract, make_project, make_release


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path)


def live(project, model):
    name = make_release(project.releases, contract(model, computed=False, stored=False))
    deploy(project, environment="staging", release=name)
    return name


def lines(project, *releases):
    return next_lines(project.root, "staging", releases, myself="mlops")


def test_the_first_release_can_be_served_and_asked_and_not_rolled_back(project):
    serve, ask = lines(project, live(project, "fraud_v1"))
    assert serve == "mlops serve staging"
    words = shlex.split(ask)
    assert words[0] == "curl"
    assert set(json.loads(words[words.index("-d") + 1])) == {"amount"}


def test_the_second_one_can_be_rolled_back(project):
    live(project, "fraud_v1")
    assert lines(project, live(project, "fraud_v2"))[-1] == "mlops rollback staging"


def test_of_several_families_the_one_that_went_live_is_named(project):
    live(project, "churn_v1")
    live(project, "fraud_v1")
    second = live(project, "fraud_v2")
    serve, _, back = lines(project, second)
    assert (serve, back) == ("mlops serve staging --model fraud", "mlops rollback staging --model fraud")


def test_where_none_of_the_releases_is_live_nothing_is_proposed(project):
    live(project, "fraud_v1")
    assert lines(project, "fraud_v9-000000000000") == []
