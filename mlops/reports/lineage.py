"""A lineage as text, as mermaid, as JSON values; `lineage_page` draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mlops.graph import KINDS, Edge, Graph, Node
from mlops.reports.mermaid import label as escaped
from mlops.reports.words import moment, number, seconds
from mlops.verdict import Record

_DIGEST = 64
_SPREAD = ("metrics", "gates", "parameters")  # facts with a line for each entry
_SHAPES = {"environment": ("([", "])"), "release": ("[[", "]]"), "commit": ("{{", "}}")}


def tree(record: Record) -> Iterator[str]:
    """Lines: each thing that was meant, with its facts, what it was made of and what it went into."""
    graph: Graph = record.facts["graph"]
    for node in (graph.nodes[one] for one in record.facts["subjects"]):
        yield f"{node.kind} {node.short}"
        yield from _facts(node, "│  ")
        made = [e for e in graph.before(node.id) if e.made]
        yield "├─ made of" + ("" if made else ": nothing that is known here")
        yield from _branch(graph, made, "│  ", upwards=True, seen=set())
        after = graph.after(node.id)
        yield "└─ went into" + ("" if after else ": nothing yet")
        yield from _branch(graph, after, "   ", upwards=False, seen=set())


def mermaid(record: Record) -> str:
    """A flowchart in mermaid's language, as GitHub shows it in a comment or a page."""
    graph: Graph = record.facts["graph"]
    names = {node: f"n{place}" for place, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes.values():
        left, right = _SHAPES.get(node.kind, ("[", "]"))
        lines.append(f'  {names[node.id]}{left}"{escaped(node.kind)}<br>{escaped(node.short)}"{right}')
    for edge in graph.edges:
        label = f'|"{escaped(edge.label)}"|' if edge.label else ""
        lines.append(f"  {names[edge.source]} {'-->' if edge.made else '-.->'}{label} {names[edge.target]}")
    lines += [f"  style {names[one]} stroke-width:3px" for one in record.facts["subjects"]]
    return "\n".join(lines) + "\n"


def values(record: Record) -> dict[str, Any]:
    """Nodes, edges, moves and the manifest, for machines."""
    import msgspec

    graph: Graph = record.facts["graph"]
    nodes = [{"id": node.id, **msgspec.to_builtins(node)} for node in graph.nodes.values()]
    rest = {name: value for name, value in record.facts.items() if name not in ("graph", "records")}
    return {**rest, "nodes": nodes, "edges": msgspec.to_builtins(graph.edges)}


def told(value: Any) -> str:
    """A fact for a person: numbers in four digits, twelve digits of a digest."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {told(one)}" for name, one in value.items())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    text = str(value)
    return text[:12] if len(text) == _DIGEST and text.isalnum() else text


def when(node: Node) -> str:
    """`2026-11-21 06:37:48 UTC in 2.1 s, 310 MB`: when and how its step ran, or ""."""
    if "at" not in node.facts:
        return ""
    memory = f", {node.facts['memory mb']} MB" if "memory mb" in node.facts else ""
    return f"{moment(str(node.facts['at']))} in {seconds(float(node.facts['seconds']))}{memory}"


def plain(node: Node) -> dict[str, Any]:
    """The facts that a person reads one by one."""
    return {name: value for name, value in node.facts.items() if name not in ("at", "seconds", "memory mb")}


def _facts(node: Node, indent: str) -> Iterator[str]:
    if when(node):
        yield f"{indent}ran: {when(node)}"
    for name, value in plain(node).items():
        if name in _SPREAD and isinstance(value, Mapping):
            yield f"{indent}{name}"
            yield from (f"{indent}   {key}: {told(one)}" for key, one in value.items())
        else:
            yield f"{indent}{name}: {told(value)}"


def _branch(graph: Graph, edges: Iterable[Edge], indent: str, *, upwards: bool, seen: set[str]) -> Iterator[str]:
    """Each edge's other end, and below it what made that, or what it went into; a thing is told once."""
    shown = sorted(edges, key=lambda e: KINDS.index(graph.nodes[_end(e, upwards=upwards)].kind))
    for place, edge in enumerate(shown, 1):
        node = graph.nodes[_end(edge, upwards=upwards)]
        corner, below = ("└─ ", "   ") if place == len(shown) else ("├─ ", "│  ")
        known = node.id in seen and node.kind != "environment"
        yield f"{indent}{corner}" + (f"{node.kind} {node.short} (above)" if known else _line(node, edge))
        if known or not edge.made:
            continue
        seen.add(node.id)
        further: Callable[[str], tuple[Edge, ...]] = graph.before if upwards else graph.after
        yield from _branch(graph, [e for e in further(node.id) if e.made], indent + below, upwards=upwards, seen=seen)


def _end(edge: Edge, *, upwards: bool) -> str:
    return edge.source if upwards else edge.target


def _line(node: Node, edge: Edge) -> str:
    own: dict[str, Any] = {
        name: plain(node)[name] for name in ("origin", "rows", "training rows", "estimator") if name in plain(node)
    }
    own |= {"code": node.facts["code"]} if node.kind == "feature" and node.facts.get("code") != node.digest else {}
    parts = [f"{name} {told(value)}" for name, value in own.items()]
    parts += ["with unsaved changes"] if "unsaved changes" in node.facts else []
    parts += [edge.label] if edge.label else []
    parts += [when(node)] if when(node) else []
    return f"{node.kind} {node.short}" + (f": {', '.join(parts)}" if parts else "")
