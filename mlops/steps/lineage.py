"""`lineage`: what made a release, a model, a feature or a snapshot, and what it touched."""

from __future__ import annotations

from typing import Any

import msgspec

from mlops import ancestry
from mlops.adapters.index import Index
from mlops.graph import Graph
from mlops.release import folder
from mlops.serving.integrity import NotWhole, read_manifest
from mlops.targets import chosen
from mlops.verdict import Record
from mlops.workspace import Workspace

VERSION = 2


def lineage(workspace: Workspace, *, subject: str) -> Record:
    """Facts: `subjects` (ids of the nodes meant) and `graph`, what made them and what they touched.

    `release` and `manifest` where it is about one release, `moves` to it and away from it; `records` are the steps'
    records, by key, of the nodes that have one. UsageError where nothing, or several things, are called so.
    """
    whole = ancestry.known(workspace)
    meant = whole.find(subject)
    graph = whole.around(meant)
    releases = [graph.nodes[one].name for one in meant if graph.nodes[one].kind == "release"]
    after = {node.name for node in graph.nodes.values() if node.kind == "release" and _down(graph, meant, node.id)}
    about = releases or sorted(after)
    return Record(
        step="lineage",
        subject=subject,
        facts={
            "subjects": meant,
            "graph": graph,
            "records": _records(workspace, graph),
            "moves": _moves(workspace, about),
            **(_of_one(workspace, about[0]) if len(about) == 1 else {}),
        },
    )


def _down(graph: Graph, meant: tuple[str, ...], node: str) -> bool:
    return any(edge.made for edge in graph.before(node)) and node not in meant


def _of_one(workspace: Workspace, release: str) -> dict[str, Any]:
    try:
        manifest = read_manifest(folder(workspace.releases, release))
    except NotWhole:
        return {"release": release}
    return {"release": release, "manifest": msgspec.to_builtins(manifest)}


def _records(workspace: Workspace, graph: Graph) -> dict[str, Record]:
    wanted = {node.record for node in graph.nodes.values() if node.record}
    index = Index(workspace.home / "index.db")
    try:
        found = {key: index.find(key) for key in wanted}
    finally:
        index.close()
    return {key: record for key, record in found.items() if record is not None}


def _moves(workspace: Workspace, releases: list[str]) -> list[dict[str, Any]]:
    """Every event that brought one of the releases live, or took it away, oldest first."""
    moves = []
    for environment in workspace.config.environments:
        target = chosen.target(workspace, environment)
        for family in target.families():
            events = [e for e in target.history(family) if e.to in releases or e.previous in releases]
            moves += [msgspec.to_builtins(event) for event in events]
    return sorted(moves, key=lambda event: str(event["at"]))
