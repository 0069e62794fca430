"""What a gate asks of a table of any size, and what it is told: values that travel between it and who holds the rows.

A gate judges facts; where the rows are (a Parquet file of ten million, a frame) is no matter to it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Kind = Literal["bool", "int", "float", "time", "text"]

Test = Literal[
    "missing",
    "below",
    "not above",
    "above",
    "not below",
    "not in",
    "not whole",
    "not a number",
    "any",
    "repeated",
    "backwards",
    "garbled",
    "decimal comma",
    "false",
]

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
"""The quantiles by which the scale of a column is known."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which rows are wrong: those whose value in `column` is `test` against `value`.

    `repeated` takes the key's columns as `value`, `false` an expression over columns (`start <= end`).
    A missing value breaks no rule but `missing`.
    """

    column: str
    test: Test
    value: Any = None


@dataclass(frozen=True, slots=True)
class Broken:
    """How many rows break a rule, the positions of the first, and some of their different values as text."""

    count: int
    rows: tuple[int, ...] = ()
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was measured: missing values and extremes by column, the rules that are broken, quantiles of a sample.

    `scales` are the quantiles at `LEVELS` of a column's finite values that are not zero, and how many those are.
    `unanswered` are the rules that could not be asked, and why.
    """

    missing: Mapping[str, int]
    lowest: Mapping[str, Any] = field(default_factory=dict)
    highest: Mapping[str, Any] = field(default_factory=dict)
    broken: Mapping[Rule, Broken] = field(default_factory=dict)
    scales: Mapping[str, tuple[tuple[float, ...], int]] = field(default_factory=dict)
    unanswered: Mapping[Rule, str] = field(default_factory=dict)


class Table(Protocol):
    """Rows that can be asked; `mlops.adapters.aggregates` makes it of a Parquet file or a frame."""

    @property
    def rows(self) -> int:
        """How many rows there are."""

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Each column's kind, in the table's order."""

    def measure(self, rules: Collection[Rule], *, scales: Collection[str] = ()) -> Facts:
        """The facts about all columns, all rules, and the scales of some numeric columns."""
