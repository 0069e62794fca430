"""What a release was made of, and where it was live."""

from __future__ import annotations

import pytest

from mlops.errors import UsageError
from mlops.steps.deploy import deploy
from mlops.steps.lineage import lineage
from tests import small


@pytest.fixture
def workspace(shop):
    return small.opened(shop)


def test_it_names_data_code_parameters_metrics_and_gates(workspace, released):
    _, ran = released
    up = lineage(workspace, release=ran.report.releases[0]).facts["up"]
    assert up["data"] == {"customers": ran.record("snapshot:customers").outputs["data"]}
    assert up["training table"] == ran.record("assemble:churn_v1").outputs["train"]
    assert up["model"]["judged against"] == "nothing"
    assert up["parameters"] == {"seed": 42}
    assert up["metrics"]["roc_auc"] == ran.record("check-model:churn_v1").metrics["roc_auc"]
    assert set(up["gates"].values()) == {"pass"}
    assert up["commit"].startswith("uncommitted")


def test_it_names_every_move_to_it_and_away_from_it(workspace, released):
    (release,) = released[1].report.releases
    deploy(workspace, environment="production", release=release, reason="friday")
    down = lineage(workspace, release=release).facts["down"]
    assert [(move["environment"], move["to"]) for move in down] == [("staging", release), ("production", release)]
    assert down[1]["reason"] == "friday"


def test_the_beginning_of_a_name_is_enough(workspace, released):
    (release,) = released[1].report.releases
    assert lineage(workspace, release="churn_v1-").facts["release"] == release


def test_an_unknown_release_names_the_nearest(workspace, released):
    (release,) = released[1].report.releases
    with pytest.raises(UsageError) as caught:
        lineage(workspace, release="chrun_v1")
    assert release in caught.value.next_step
