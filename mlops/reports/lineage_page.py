"""A lineage as one HTML file without network or script: the graph, and below it every thing with its facts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.graph import KINDS, Columns, Edge, Graph, Node, layers
from mlops.reports.lineage import plain, told, when
from mlops.verdict import Record

if TYPE_CHECKING:
    from jinja2 import Template

_WIDTH, _HEIGHT = 196, 46  # of a box, in pixels
_ACROSS, _DOWN = 76, 20  # between boxes
_LETTERS = 25  # of a name that fit into a box
_MOST = 300  # boxes that can still be looked at


@dataclass(frozen=True, slots=True)
class Box:
    """A node with its place; `name` is shortened to fit."""

    kind: str
    name: str
    below: str
    whole: str
    meant: bool
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Line:
    """An edge's way, from the right of one box to the left of another."""

    path: str
    label: str
    made: bool


def render(record: Record) -> str:
    """The page."""
    graph: Graph = record.facts["graph"]
    columns, bends = layers(graph) if len(graph.nodes) <= _MOST else ((), {})
    places = _places(columns)
    boxes = [_box(graph.nodes[one], places[one], record.facts["subjects"]) for one in graph.nodes if one in places]
    ways = [(edge, (edge.source, *bends[edge], edge.target)) for edge in graph.edges if edge in bends]
    lines = [_line(edge, [places[one] for one in way]) for edge, way in ways]
    nodes = sorted(graph.nodes.values(), key=lambda node: (KINDS.index(node.kind), node.name))
    return _template().render(
        subject=record.subject,
        boxes=boxes,
        lines=lines,
        width=max((x for x, _ in places.values()), default=0) + _WIDTH + 2,
        height=max((y for _, y in places.values()), default=0) + _HEIGHT + 2,
        box=(_WIDTH, _HEIGHT),
        nodes=nodes,
        most=_MOST,
        moves=record.facts["moves"],
        graph=graph,
    )


def _box(node: Node, place: tuple[int, int], meant: Collection[str]) -> Box:
    name = node.name if len(node.name) <= _LETTERS else f"{node.name[: _LETTERS - 1]}…"
    below, whole = f"{node.kind} {node.digest[:12]}".strip(), f"{node.kind} {node.name} {node.digest}".strip()
    return Box(node.kind, name, below, whole, node.id in meant, *place)


def _places(columns: Columns) -> dict[str, tuple[int, int]]:
    """The upper left corner of each box and bend; columns stand in the middle of the tallest."""
    tallest = max((len(column) for column in columns), default=0)
    return {
        name: (1 + across * (_WIDTH + _ACROSS), 1 + (tallest - len(column) + 2 * down) * (_HEIGHT + _DOWN) // 2)
        for across, column in enumerate(columns)
        for down, name in enumerate(column)
    }


def _line(edge: Edge, way: list[tuple[int, int]]) -> Line:
    """From box to box; straight through the place of a bend, curved between columns."""
    (x, y), half = way[0], _HEIGHT // 2
    path = [f"M{x + _WIDTH},{y + half}"]
    for place, (to_x, to_y) in enumerate(way[1:], 1):
        from_x, end = x + _WIDTH, to_x - (5 if place == len(way) - 1 else 0)
        middle = (from_x + end) // 2
        path.append(f"C{middle},{y + half} {middle},{to_y + half} {end},{to_y + half}")
        if place < len(way) - 1:
            path.append(f"H{to_x + _WIDTH}")
        x, y = to_x, to_y
    return Line(" ".join(path), edge.label, edge.made)


@cache
def _template() -> Template:
    from jinja2 import Environment

    made = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"told": told, "when": when, "plain": plain}
    return made.from_string((Path(__file__).parent / "lineage.html.jinja").read_text(encoding="utf-8"))
