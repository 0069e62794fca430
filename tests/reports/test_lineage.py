"""A lineage as people and machines read it."""

from __future__ import annotations

import json
import re

import pytest
from openlineage.client import event_v2 as openlineage
from openlineage.client.facet_v2 import (
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    output_statistics_output_dataset,
    processing_engine_run,
)

from mlops.reports import lineage as reports
from mlops.reports.lineage_page import render
from mlops.reports.mermaid import label
from mlops.reports.openlineage import events
from mlops.steps.lineage import lineage
from mlops.steps.rollback import rollback
from tests import small

FACETS = {
    "jobType": job_type_job.JobTypeJobFacet,
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
    "processing_engine": processing_engine_run.ProcessingEngineRunFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
}


@pytest.fixture
def record(bank, banked):
    workspace = small.opened(bank)
    rollback(workspace, environment="staging", reason='too <b>slow</b> & "odd"')
    return lineage(workspace, subject="payments")


def taken(facets):
    """Facets as the library's classes take them; unknown fields and missing ones are refused. Ours stay as they are."""
    for name, facet in facets.items():
        assert {"_producer", "_schemaURL"} <= facet.keys()
        if name.startswith("mlops_"):
            continue
        values = {key: value for key, value in facet.items() if not key.startswith("_")}
        assert FACETS[name](**values)._get_schema() == facet["_schemaURL"]
    return facets


def test_openlineage_takes_every_event(record):
    told = [json.loads(json.dumps(event)) for event in events(record, project="bank")]
    for event in told:
        sides = {
            side: [kind(namespace=d["namespace"], name=d["name"], facets=taken(d["facets"])) for d in event[side]]
            for side, kind in (("inputs", openlineage.InputDataset), ("outputs", openlineage.OutputDataset))
        }
        for output in event["outputs"]:
            taken(output.get("outputFacets", {}))
        made = openlineage.RunEvent(
            eventTime=event["eventTime"],
            producer=event["producer"],
            eventType=openlineage.RunState[event["eventType"]],
            run=openlineage.Run(runId=event["run"]["runId"], facets=taken(event["run"]["facets"])),
            job=openlineage.Job(
                namespace=event["job"]["namespace"], name=event["job"]["name"], facets=taken(event["job"]["facets"])
            ),
            **sides,
        )
        assert made.run.runId == event["run"]["runId"]


def test_each_step_starts_and_completes_once_and_what_one_writes_another_reads(record):
    told = list(events(record, project="bank"))
    runs = {}
    for event in told:
        runs.setdefault((event["run"]["runId"], event["job"]["name"]), []).append(event["eventType"])
    steps = {name: kinds for (_, name), kinds in runs.items() if "staging" not in name}
    assert set(map(tuple, steps.values())) == {("START", "COMPLETE")}
    assert {"snapshot:payments", "build-features:spend_v1", "assemble:fraud_v2", "train:fraud_v1"} <= steps.keys()
    written = {d["name"] for event in told for d in event["outputs"]}
    read = {d["name"] for event in told for d in event["inputs"]}
    assert read <= written
    assert [event["eventTime"] for event in told] == sorted(event["eventTime"] for event in told)


def test_the_tree_tells_a_thing_once(record):
    lines = list(reports.tree(record))
    assert lines[0].startswith("snapshot payments ")
    for name in ("table fraud_v1 rows", "table fraud_v2 rows"):
        assert sum(name in line and "(above)" not in line for line in lines) == 1
    assert any("rollback by" in line and "too <b>slow</b>" in line for line in lines)


def test_mermaid_names_every_node_and_no_text_ends_a_label(record):
    text = reports.mermaid(record)
    graph = record.facts["graph"]
    assert text.startswith("flowchart LR\n")
    assert len(re.findall(r"^  n\d+[\[({]", text, re.MULTILINE)) == len(graph.nodes)
    assert len(re.findall(r"-->|-\.->", text)) == len(graph.edges)
    assert all(line.count('"') in (0, 2) for line in text.splitlines())


def test_the_page_needs_no_network_no_script_and_escapes_what_people_wrote(record):
    page = render(record)
    assert "default-src 'none'" in page
    assert not re.search(r"<script|https?://|<b>slow", page)
    assert "too &lt;b&gt;slow&lt;/b&gt;" in page
    assert page.count("<rect") == len(record.facts["graph"].nodes)
    assert page.count('<path class="edge') == len(record.facts["graph"].edges)


def test_json_holds_nodes_edges_and_moves(record):
    values = json.loads(json.dumps(reports.values(record)))
    ids = {node["id"] for node in values["nodes"]}
    assert all({edge["source"], edge["target"]} <= ids for edge in values["edges"])
    assert values["moves"][-1]["action"] == "rollback"


def test_a_label_that_is_too_long_says_that_there_is_more():
    assert label("x" * 80) == "x" * 80
    assert label("x" * 81) == "x" * 79 + "…"
