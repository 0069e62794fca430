"""What people would rather look at than read: tables and plots, as values that any report can draw.

A step keeps its exhibits as JSON in the object store, under the output's name `exhibits`; the pages and pictures
are made by `reports/`. So every format shows the same numbers, and drawing needs no model and no data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import Struct

OUTPUT = "exhibits"
"""The name of the output under which a step's record keeps them."""


class Series(Struct, frozen=True, kw_only=True):
    """One line, one set of bars or one cloud of points; `low` and `high` bound each `y` where they are given."""

    name: str
    x: tuple[float | str, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


class Plot(Struct, frozen=True, kw_only=True, tag="plot"):
    """A plot with one sentence that says what to see in it. Bars lie: their `x` are the words at the left."""

    title: str
    caption: str
    kind: Literal["bars", "lines", "points"]
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    diagonal: bool = False  # a thin line where x equals y, such as perfect calibration
    group: str = ""  # plots of one group stand side by side under its name


class Table(Struct, frozen=True, kw_only=True, tag="table"):
    """A table with one sentence that says what to see in it."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[float | str | None, ...], ...]


Exhibit = Plot | Table


def encode(exhibits: Iterable[Exhibit]) -> bytes:
    """As JSON, alike for equal exhibits."""
    return msgspec.json.encode(tuple(exhibits))


def decode(data: bytes) -> tuple[Exhibit, ...]:
    """What `encode` wrote."""
    return msgspec.json.decode(data, type=tuple[Exhibit, ...])
