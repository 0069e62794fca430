"""What made a thing and what it touched: from a release back to its data, from data to the places that served it."""

from __future__ import annotations

import pytest

from mlops.errors import UsageError
from mlops.steps.deploy import deploy
from mlops.steps.lineage import lineage
from mlops.steps.rollback import rollback
from tests import small


@pytest.fixture
def workspace(shop):
    return small.opened(shop)


@pytest.fixture(scope="module")
def stored(banked):
    return small.opened(banked[0]), banked[1]


def kinds(record):
    return [node.kind for node in record.facts["graph"].nodes.values()]


def names(record, kind):
    return {node.name for node in record.facts["graph"].nodes.values() if node.kind == kind}


def test_a_release_leads_back_to_data_features_code_and_commit(stored):
    workspace, ran = stored
    release = max(ran.report.releases)
    record = lineage(workspace, subject=release)
    graph = record.facts["graph"]
    assert record.facts["subjects"] == (f"release:{release}",)
    (snapshot,) = (node for node in graph.nodes.values() if node.kind == "snapshot")
    assert snapshot.digest == ran.record("snapshot:payments").outputs["data"]
    (feature,) = (node for node in graph.nodes.values() if node.kind == "feature")
    assert (feature.name, feature.facts["code"]) == ("spend_v2", record.facts["manifest"]["features"]["spend_v2"])
    (table,) = (node for node in graph.nodes.values() if node.kind == "table")
    assert table.digest == ran.record("assemble:fraud_v2").outputs["train"]
    assert {edge.source for edge in graph.before(table.id)} == {snapshot.id, feature.id}
    assert names(record, "commit") == {"uncommitted"}
    node = graph.nodes[f"release:{release}"]
    assert node.facts["metrics"]["roc_auc"] == ran.record("check-model:fraud_v2").metrics["roc_auc"]
    assert set(node.facts["gates"].values()) == {"pass"}
    before = [edge for edge in graph.before(node.id) if not edge.made]
    assert [(edge.source, edge.label) for edge in before] == [(f"release:{min(ran.report.releases)}", "judged against")]


def test_data_leads_to_every_release_that_saw_it_and_to_the_places_that_served_them(stored):
    workspace, ran = stored
    digest = ran.record("snapshot:payments").outputs["data"]
    for subject in ("payments", "snapshot:payments", digest[:8]):
        record = lineage(workspace, subject=subject)
        assert names(record, "release") == set(ran.report.releases), subject
        assert names(record, "environment") == {"staging"}
    assert names(lineage(workspace, subject="spend_v1"), "release") == {min(ran.report.releases)}
    assert names(lineage(workspace, subject="staging"), "feature") == {"spend_v1", "spend_v2"}


def test_it_tells_from_when_to_when_a_release_was_live_and_who_said_why(workspace, released):
    (release,) = released[1].report.releases
    deploy(workspace, environment="production", release=release, reason="friday")
    record = lineage(workspace, subject=release)
    assert [(m["environment"], m["reason"]) for m in record.facts["moves"]] == [
        ("staging", ""),
        ("production", "friday"),
    ]
    labels = [edge.label for edge in record.facts["graph"].after(f"release:{release}")]
    assert len(labels) == 2
    assert all("live since" in label for label in labels)
    assert any(label.endswith(": friday") for label in labels)


def test_a_release_that_another_one_followed_was_live_until_then(bank, banked):
    first, second = sorted(banked[1].report.releases)
    workspace = small.opened(bank)
    rollback(workspace, environment="staging", reason="complaints")
    edges = lineage(workspace, subject="staging").facts["graph"].before("environment:staging")
    spans = {(edge.source, "live since" in edge.label) for edge in edges}
    assert spans == {(f"release:{first}", False), (f"release:{second}", False), (f"release:{first}", True)}


def test_every_thing_tells_when_its_step_ran_and_what_memory_it_took(stored):
    graph = lineage(stored[0], subject="fraud_v1").facts["graph"]
    ran = [node for node in graph.nodes.values() if node.kind not in ("commit", "environment")]
    assert all({"at", "seconds", "memory mb"} <= node.facts.keys() for node in ran), ran


def test_a_release_without_its_steps_records_is_known_by_its_manifest(workspace, released):
    """As one is that came from another machine."""
    (release,) = released[1].report.releases
    for left in workspace.home.glob("index.db*"):
        left.unlink()
    record = lineage(workspace, subject="customers")
    assert names(record, "release") == {release}
    assert record.facts["records"] == {}


def test_a_name_may_be_short_and_a_family_is_all_its_versions(stored, workspace, released):
    (release,) = released[1].report.releases
    assert lineage(workspace, subject="churn_v1-").facts["release"] == release
    assert len(lineage(stored[0], subject="fraud").facts["subjects"]) == 2


@pytest.mark.parametrize(
    ("subject", "said"),
    [("fraud_", "could be fraud_v1-"), ("nothing", "nothing is called"), ("model:payments", "payments")],
)
def test_what_is_not_clear_is_asked_for(stored, subject, said):
    with pytest.raises(UsageError, match=said):
        lineage(stored[0], subject=subject)


def test_an_unknown_release_names_the_nearest(workspace):
    with pytest.raises(UsageError) as caught:
        lineage(workspace, subject="chrun_v1")
    assert "'churn_v1" in caught.value.next_step
