"""What was made of what, as a graph: nodes with a kind, a name and a digest, edges from what went in to the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from mlops.errors import UsageError, nearest

Kind = Literal["commit", "snapshot", "feature", "table", "model", "release", "environment"]
KINDS: tuple[Kind, ...] = ("commit", "snapshot", "feature", "table", "model", "release", "environment")
"""In the order in which one is made of the other."""

_SHORT = 12
_LEAST = 4  # digits of a digest that can be meant


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A thing: `name@digest` of a kind. `facts` are what a person wants to know of it; `record` is its step's key."""

    kind: Kind
    name: str
    digest: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    record: str = ""

    @property
    def id(self) -> str:
        """`kind:name`, and the digest's first digits where there is one: the same thing has the same id anywhere."""
        return f"{self.kind}:{self.name}@{self.digest[:_SHORT]}" if self.digest else f"{self.kind}:{self.name}"

    @property
    def short(self) -> str:
        """Its name and the digest's first digits, for a person."""
        return f"{self.name} {self.digest[:_SHORT]}" if self.digest else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """That `source` went into `target`; `label` says when or how. One that is not `made` was only looked at."""

    source: str
    target: str
    label: str = ""
    made: bool = True


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes by id, and edges between them."""

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...] = ()

    def before(self, node: str) -> tuple[Edge, ...]:
        """The edges that lead to a node."""
        return tuple(edge for edge in self.edges if edge.target == node)

    def after(self, node: str) -> tuple[Edge, ...]:
        """The edges that lead away from a node."""
        return tuple(edge for edge in self.edges if edge.source == node)

    def around(self, ids: Iterable[str]) -> Graph:
        """What made these nodes, and what they touched: the part of the graph that has to do with them."""
        wanted = tuple(ids)
        sources: dict[str, list[str]] = {}
        targets: dict[str, list[str]] = {}
        for edge in (edge for edge in self.edges if edge.made):
            sources.setdefault(edge.target, []).append(edge.source)
            targets.setdefault(edge.source, []).append(edge.target)
        up = _reached(wanted, lambda node: sources.get(node, ()))
        down = _reached(wanted, lambda node: targets.get(node, ()))
        beside = {e.target for e in self.edges if not e.made and e.source in wanted}
        beside |= {e.source for e in self.edges if not e.made and e.target in wanted}
        kept = up | down | beside
        line = [e for e in self.edges if e.made and ({e.source, e.target} <= up or {e.source, e.target} <= down)]
        looked = [
            e for e in self.edges if not e.made and kept >= {e.source, e.target} and {e.source, e.target} & {*wanted}
        ]
        return Graph({name: node for name, node in self.nodes.items() if name in kept}, (*line, *looked))

    def find(self, text: str) -> tuple[str, ...]:
        """The nodes that a person means: a name, how a release or a digest begins, or `kind:` before one of them.

        UsageError where nothing is called so, or things of several kinds are.
        """
        kind, _, rest = text.partition(":")
        asked = [node for node in self.nodes.values() if not rest or kind not in KINDS or node.kind == kind]
        wanted = rest if rest and kind in KINDS else text
        for meant in (_named, _family, _digested, _begun):
            found = [node for node in asked if wanted and meant(node, wanted)]
            if found:
                return _one_thing(text, found)
        names = {node.name for node in self.nodes.values() if node.kind not in ("commit", "table")}
        raise UsageError(f"nothing is called {text!r} here", next_step=nearest(wanted, names))


def _named(node: Node, text: str) -> bool:
    return node.name == text


def _family(node: Node, text: str) -> bool:
    return node.kind == "model" and node.name.rpartition("_v")[0] == text


def _digested(node: Node, text: str) -> bool:
    return len(text) >= _LEAST and node.digest.startswith(text.lower())


def _begun(node: Node, text: str) -> bool:
    return node.kind in ("release", "commit") and node.name.startswith(text)


def _one_thing(text: str, found: list[Node]) -> tuple[str, ...]:
    """The ids of what was found, if it is one thing: one name of one kind, or a family's versions."""
    kinds = sorted({node.kind for node in found}, key=KINDS.index)
    if len(kinds) > 1:
        each = " or ".join(f"{kind}:{text}" for kind in kinds)
        raise UsageError(f"{text!r} is the name of several things", next_step=f"say which: {each}")
    names = sorted({node.name for node in found})
    if kinds[0] in ("release", "commit") and len(names) > 1:
        raise UsageError(f"{text!r} could be {' or '.join(names)}", next_step="give more of the name")
    return tuple(node.id for node in found)


def _reached(start: Iterable[str], following: Callable[[str], Iterable[str]]) -> set[str]:
    """All that is reached from some nodes, themselves included."""
    seen: set[str] = set()
    waiting = list(start)
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += following(node)
    return seen


Columns = tuple[tuple[str, ...], ...]


def layers(graph: Graph) -> tuple[Columns, dict[Edge, tuple[str, ...]]]:
    """The nodes in columns, each right of all that went into it, and the bends of edges that pass columns between.

    A bend takes a place in a column as a node does, so no line runs through a box. A node's column is the longest way
    to it; a few sweeps by the mean place of neighbours take out most crossings (Sugiyama, Tagawa and Toda 1981).
    """
    column = _columns(graph)
    bends: dict[Edge, tuple[str, ...]] = {}
    near: dict[str, tuple[list[str], list[str]]] = {node: ([], []) for node in graph.nodes}
    for place, edge in enumerate(graph.edges):
        between = range(column[edge.source] + 1, column[edge.target])
        bends[edge] = tuple(f"bend {place}.{at}" for at in between)
        column |= dict(zip(bends[edge], between, strict=True))
        near |= {bend: ([], []) for bend in bends[edge]}
        way = (edge.source, *bends[edge], edge.target)
        for one, next_one in pairwise(way):
            near[next_one][0].append(one)
            near[one][1].append(next_one)
    found = [[n for n in near if column[n] == at] for at in range(max(column.values(), default=-1) + 1)]
    for sweep in range(8):
        _untangle(found, near, side=sweep % 2)
    return tuple(tuple(one) for one in found), bends


def _columns(graph: Graph) -> dict[str, int]:
    column = dict.fromkeys(graph.nodes, 0)
    for _ in graph.nodes:  # at most as many rounds as there are nodes: the graph has no cycle
        moved = [e for e in graph.edges if column[e.target] <= column[e.source]]
        for edge in moved:
            column[edge.target] = column[edge.source] + 1
        if not moved:
            break
    for node in graph.nodes:  # what nothing went into stands just before what it went into
        after = [column[e.target] for e in graph.after(node)]
        if after and not graph.before(node):
            column[node] = min(after) - 1
    return column


def _untangle(columns: list[list[str]], near: Mapping[str, tuple[list[str], list[str]]], *, side: int) -> None:
    place = {node: row / max(1, len(one)) for one in columns for row, node in enumerate(one)}
    for one in reversed(columns) if side else columns:
        mean = {
            n: sum(place[o] for o in near[n][side]) / len(near[n][side]) if near[n][side] else place[n] for n in one
        }
        one.sort(key=mean.__getitem__)
        place |= {node: row / max(1, len(one)) for row, node in enumerate(one)}
