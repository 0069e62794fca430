"""The graph of all that is known here: releases by manifests, steps by records, environments by their events.

A release that came from another machine is known by its manifest alone: what went into it, but not when each step ran.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from mlops.adapters.index import Index
from mlops.graph import Edge, Graph, Kind, Node
from mlops.release import Event, Manifest, folder
from mlops.serving.integrity import NotWhole, read_manifest
from mlops.targets import chosen
from mlops.targets.protocol import MOVES
from mlops.verdict import Record
from mlops.workspace import Workspace


class _Making:
    """A graph in the making: of two nodes with one id the one with a step's record stays, an edge is drawn once."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str, str], Edge] = {}

    def node(self, kind: Kind, name: str, digest: str = "", *, record: str = "", **facts: Any) -> str:
        told = {key.replace("_", " "): value for key, value in facts.items() if value not in ("", None, {}, ())}
        node = Node(kind=kind, name=name, digest=digest, facts=told, record=record)
        if record or node.id not in self.nodes:
            self.nodes[node.id] = node
        return node.id

    def edge(self, source: str, target: str, label: str = "", *, made: bool = True) -> None:
        self.edges.setdefault((source, target, label), Edge(source=source, target=target, label=label, made=made))


class _Steps:
    """Records by key, features by what they are, registrations by release."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.by_key = {record.key: record for record in records}
        self.built = {(r.subject, r.outputs["features"]): r for r in records if r.step == "build-features"}
        self.registered = {str(r.facts["release"]): r for r in records if r.step == "register"}

    def of(self, manifest: Manifest, step: str, subject: str) -> Record | None:
        """The record of a step that a release came of, if it is here."""
        return self.by_key.get(manifest.records.get(f"{step}:{subject}", ""))


def known(workspace: Workspace) -> Graph:
    """Everything known on this machine, as one graph."""
    index = Index(workspace.home / "index.db")
    try:
        records = index.records()
    finally:
        index.close()
    making = _Making()
    _work(making, records)
    steps = _Steps(records)
    manifests = tuple(_manifests(workspace))
    for manifest in manifests:
        _release(making, manifest, steps)
    for manifest in manifests:
        judged = f"release:{manifest.champion}"
        if judged in making.nodes:
            making.edge(judged, f"release:{manifest.release}", "judged against", made=False)
    for environment in workspace.config.environments:
        _served(making, workspace, environment)
    return Graph(making.nodes, tuple(making.edges.values()))


def periods(events: Iterable[Event]) -> tuple[tuple[Event, str], ...]:
    """Each move that made a release live in one environment, with the moment at which another one followed, or ""."""
    moves = [event for event in events if event.outcome == "done" and event.action in MOVES]
    until = [event.at for event in moves[1:]]
    return tuple(zip(moves, [*until, ""], strict=True)) if moves else ()


def _manifests(workspace: Workspace) -> Iterator[Manifest]:
    for name in chosen.releases(workspace.releases):
        try:
            yield read_manifest(folder(workspace.releases, name))
        except NotWhole:  # what cannot be read can tell nothing; serving it is refused elsewhere
            continue


def _work(making: _Making, records: Iterable[Record]) -> None:
    """Snapshots and features, whether a release came of them or not."""
    for record in records:
        if record.step == "snapshot":
            _snapshot(making, record.subject, record.outputs["data"], record)
        elif record.step == "build-features":
            _feature(making, record.subject, record)


def _snapshot(making: _Making, name: str, digest: str, record: Record | None) -> str:
    origin = "" if record is None else str(record.facts.get("origin", ""))
    return making.node("snapshot", name, digest, record=_key(record), origin=origin, **_ran(record), **_rows(record))


def _feature(making: _Making, name: str, record: Record) -> str:
    code = record.code.get(name) or str(record.facts.get("code", ""))
    node = making.node(
        "feature", name, record.outputs["features"], record=record.key, code=code, **_ran(record), **_rows(record)
    )
    for given, digest in record.inputs.items():
        step, _, subject = given.partition("/")[0].partition(":")
        if step == "snapshot":
            making.edge(_snapshot(making, subject, digest, None), node)
    return node


def _release(making: _Making, manifest: Manifest, steps: _Steps) -> None:
    table = _table(making, manifest, steps)
    fit = steps.of(manifest, "train", manifest.model)
    model = making.node(
        "model",
        manifest.model,
        manifest.code if fit is None else fit.outputs["model"],
        record=_key(fit),
        code=manifest.code,
        estimator="" if fit is None else fit.facts.get("estimator", ""),
        parameters=dict(manifest.params),
        **_ran(fit),
    )
    making.edge(table, model)
    registered = steps.registered.get(manifest.release)
    release = making.node("release", manifest.release, record=_key(registered), **_told(manifest), **_ran(registered))
    making.edge(model, release)
    making.edge(making.node("commit", manifest.commit, unsaved_changes="yes" if manifest.dirty else ""), release)


def _table(making: _Making, manifest: Manifest, steps: _Steps) -> str:
    """A release's training rows, with what they were joined of."""
    joined = steps.of(manifest, "assemble", manifest.model)
    name = f"{manifest.model} rows"
    table = making.node("table", name, manifest.training, record=_key(joined), **_ran(joined), **_split(joined))
    for source in _went_in(making, manifest, {} if joined is None else joined.inputs, steps):
        making.edge(source, table)
    return table


def _went_in(making: _Making, manifest: Manifest, given: Mapping[str, str], steps: _Steps) -> Iterator[str]:
    """What rows were joined of, by what the step was `given`; without its record, all that the manifest names."""
    views = set()
    for name, digest in given.items():
        step, _, subject = name.partition("/")[0].partition(":")
        built = steps.built.get((subject, digest)) if step == "build-features" else None
        if built is not None:
            views.add(subject)
            yield _feature(making, subject, built)
    for name, code in manifest.features.items():
        if name not in views:
            yield making.node("feature", name, code, code=code)
    for name, digest in manifest.snapshot.items():
        if not given or given.get(f"snapshot:{name}/data") == digest or f"snapshot:{name}" not in manifest.records:
            yield _snapshot(making, name, digest, steps.of(manifest, "snapshot", name))


def _told(manifest: Manifest) -> dict[str, Any]:
    return {
        "form": manifest.form,
        "judged_against": manifest.champion or "nothing",
        "metrics": dict(manifest.metrics),
        "gates": dict(manifest.evidence),
        "packages": manifest.environment,
    }


def _served(making: _Making, workspace: Workspace, environment: str) -> None:
    target = chosen.target(workspace, environment)
    for family in target.families():
        for event, until in periods(target.history(family)):
            place = making.node("environment", environment)
            release = making.node("release", event.to)  # it may have been removed since
            making.edge(release, place, _span(event, until))


def _span(event: Event, until: str) -> str:
    began, ended = (one[:16].replace("T", " ") for one in (event.at, until))
    held = f"live {began} to {ended} UTC" if until else f"live since {began} UTC"
    return f"{held}, {event.action} by {event.who}" + (f": {event.reason}" if event.reason else "")


def _ran(record: Record | None) -> dict[str, Any]:
    if record is None:
        return {}
    at = datetime.fromtimestamp(record.started, UTC).isoformat(timespec="seconds")
    memory = round(sum(record.memory.values()) / 1e6)
    return {"at": at, "seconds": round(record.seconds, 3), "memory_mb": memory or ""}


def _rows(record: Record | None) -> dict[str, Any]:
    return {} if record is None else {"rows": int(record.metrics.get("rows", 0)) or ""}


def _split(record: Record | None) -> dict[str, Any]:
    names = {"training rows": "train_rows", "held-out rows": "holdout_rows"}
    return {} if record is None else {new: int(record.metrics.get(old, 0)) for new, old in names.items()}


def _key(record: Record | None) -> str:
    return "" if record is None else record.key
