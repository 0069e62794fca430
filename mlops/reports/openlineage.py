"""A lineage as OpenLineage run events, for a catalogue such as Marquez: one job for each step, two events each.

A job reads datasets and writes datasets (https://openlineage.io/spec/2-0-2/OpenLineage.json). A thing that came from
another machine has no times here, so it is an input of events, and has none of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from mlops import __version__
from mlops.graph import Graph, Node
from mlops.verdict import Record

PRODUCER = f"https://github.com/mlops-ci/mlops/tree/v{__version__}"
_SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = "https://openlineage.io/spec/facets"
_OURS = f"{PRODUCER}/docs/lineage.md#openlineage"


def events(record: Record, *, project: str) -> Iterator[dict[str, Any]]:
    """Run events, oldest first: START and COMPLETE of each step that is recorded here, one of each move."""
    graph: Graph = record.facts["graph"]
    records: Mapping[str, Record] = record.facts["records"]
    found = [
        event
        for node in graph.nodes.values()
        if node.record in records
        for event in _ran(graph, node, records[node.record], project)
    ]
    found += [_moved(move, project) for move in record.facts["moves"]]
    yield from sorted(found, key=lambda event: (event["eventTime"], event["eventType"] != "START"))


def _ran(graph: Graph, node: Node, record: Record, project: str) -> Iterator[dict[str, Any]]:
    began = datetime.fromtimestamp(record.started, UTC)
    given = [_dataset(graph.nodes[edge.source], project) for edge in graph.before(node.id) if edge.made]
    whole = {
        "inputs": given,
        "outputs": [_dataset(node, project, rows=record.metrics.get("rows"))],
        "job": _job(record.name, project),
        "run": {"runId": _run(f"{project}/{record.key}"), "facets": _facets(record)},
    }
    yield _event("START", began, {**whole, "outputs": []})
    yield _event("COMPLETE", began + timedelta(seconds=record.seconds), whole)


def _moved(move: Mapping[str, Any], project: str) -> dict[str, Any]:
    """A deployment or rollback: a release goes into an environment."""
    name = f"{move['action']}:{move['environment']}"
    done = move["outcome"] == "done"
    failed = {} if done else {"errorMessage": _facet("1-0-1/ErrorMessageRunFacet", message=move["outcome"])}
    facets = {**failed, "mlops_move": _own(who=move["who"], reason=move["reason"], previous=move["previous"])}
    if failed:
        facets["errorMessage"]["programmingLanguage"] = "python"
    place = {"namespace": f"mlops://{project}", "name": f"environment/{move['environment']}", "facets": {}}
    whole = {
        "inputs": [{"namespace": f"mlops://{project}", "name": f"release/{move['to']}", "facets": {}}],
        "outputs": [place] if done else [],
        "job": _job(name, project),
        "run": {"runId": _run(f"{project}/{name}/{move['at']}"), "facets": facets},
    }
    return _event("COMPLETE" if done else "FAIL", datetime.fromisoformat(str(move["at"])), whole)


def _event(kind: str, at: datetime, rest: dict[str, Any]) -> dict[str, Any]:
    return {"eventType": kind, "eventTime": at.isoformat(), "producer": PRODUCER, "schemaURL": _SPEC, **rest}


def _job(name: str, project: str) -> dict[str, Any]:
    kind = _facet("2-0-4/JobTypeJobFacet", processingType="BATCH", integration="MLOPS", jobType="STEP")
    return {"namespace": project, "name": name, "facets": {"jobType": kind}}


def _dataset(node: Node, project: str, *, rows: float | None = None) -> dict[str, Any]:
    """One dataset for a thing, with its digest as the version: two snapshots of a source are two of its versions."""
    facets = {}
    if node.digest:
        facets["version"] = _facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=node.digest)
    described: dict[str, Any] = {
        "namespace": f"mlops://{project}",
        "name": f"{node.kind}/{node.name}",
        "facets": facets,
    }
    if rows:
        counted = _facet("1-0-2/OutputStatisticsOutputDatasetFacet", rowCount=int(rows))
        described["outputFacets"] = {"outputStatistics": counted}
    return described


def _facets(record: Record) -> dict[str, Any]:
    engine = _facet(
        "1-1-1/ProcessingEngineRunFacet", version=__version__, name="mlops", openlineageAdapterVersion=__version__
    )
    verdict = "" if record.verdict is None else record.verdict.outcome.value
    step = {"key": record.key, "params": {k: str(v) for k, v in record.params.items()}, "metrics": dict(record.metrics)}
    own = _own(**step, code=dict(record.code), memory=dict(record.memory), verdict=verdict)
    return {"processing_engine": engine, "mlops_step": own}


def _facet(schema: str, **values: Any) -> dict[str, Any]:
    name = schema.partition("/")[2]
    return {"_producer": PRODUCER, "_schemaURL": f"{_FACETS}/{schema}.json#/$defs/{name}", **values}


def _own(**values: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": _OURS, **values}


def _run(text: str) -> str:
    """The same run has the same id wherever it is told of."""
    return str(uuid5(NAMESPACE_URL, f"mlops://{text}"))
