"""A graph is asked by name, cut to what has to do with a thing, and laid out in columns."""

from __future__ import annotations

import random

import pytest

from mlops.errors import UsageError
from mlops.graph import Edge, Graph, Node, layers


def graph(*pairs, kind="table"):
    names = dict.fromkeys(name for pair in pairs for name in pair)
    nodes = [Node(kind=kind, name=name) for name in names]
    ids = {node.name: node.id for node in nodes}
    return Graph({n.id: n for n in nodes}, tuple(Edge(source=ids[a], target=ids[b]) for a, b in pairs))


def test_around_a_node_is_what_made_it_and_what_it_touched_and_not_their_other_children():
    whole = graph(("a", "b"), ("b", "c"), ("a", "other"), ("x", "c"))
    cut = whole.around(["table:b"])
    assert set(cut.nodes) == {"table:a", "table:b", "table:c"}
    assert {(e.source, e.target) for e in cut.edges} == {("table:a", "table:b"), ("table:b", "table:c")}


def test_what_was_only_looked_at_is_shown_beside_and_led_no_further():
    made = graph(("rows", "old"), ("more", "new"))
    looked = Edge(source="table:old", target="table:new", label="judged against", made=False)
    cut = Graph(made.nodes, (*made.edges, looked)).around(["table:new"])
    assert set(cut.nodes) == {"table:more", "table:new", "table:old"}


def test_columns_go_from_left_to_right_and_no_line_runs_through_a_box():
    """On a hundred random graphs without a cycle."""
    for seed in range(100):
        drawn = random.Random(seed)
        pairs = [(f"n{a}", f"n{b}") for a in range(12) for b in range(a + 1, 12) if drawn.random() < 0.25]
        made = graph(*pairs)
        columns, bends = layers(made)
        at = {name: place for place, column in enumerate(columns) for name in column}
        assert sum(map(len, columns)) == len(at), "each has one place"
        assert set(made.nodes) <= set(at)
        for edge in made.edges:
            way = [at[one] for one in (edge.source, *bends[edge], edge.target)]
            assert way == list(range(at[edge.source], at[edge.target] + 1)), "one place in every column that it passes"


def test_a_ladder_is_drawn_without_crossings():
    rungs = [(f"l{k}", f"r{k}") for k in range(6)]
    shuffled = random.Random(1).sample(rungs, 6)
    columns, _ = layers(graph(*shuffled))
    left, right = ([int(name[-1]) for name in column] for column in columns)
    assert left == right


def test_one_name_of_two_kinds_asks_which():
    nodes = [Node(kind="snapshot", name="churn", digest="ab" * 32), Node(kind="feature", name="churn")]
    both = Graph({node.id: node for node in nodes})
    with pytest.raises(UsageError) as caught:
        both.find("churn")
    assert "snapshot:churn or feature:churn" in caught.value.next_step
    assert both.find("feature:churn") == ("feature:churn",)
    assert both.find("abab") == ("snapshot:churn@" + "ab" * 6,)


def test_nothing_at_all_has_no_columns():
    assert layers(Graph({})) == ((), {})
