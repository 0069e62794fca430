"""What a release is made of as a Mermaid flowchart, which GitHub draws: sources, views, models, releases, places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["source", "view", "on-demand", "model", "release", "environment"]
Mark = Literal["passed", "refused", "changed"]

_LONGEST = 80  # characters of a label
_MOST = 120
"""Boxes of a picture that is still read; GitHub draws at most 500 arrows."""

_SHAPES: Mapping[Kind, tuple[str, str]] = {
    "source": ("[(", ")]"),
    "view": ("[", "]"),
    "on-demand": ("[/", "/]"),
    "model": ("([", "])"),
    "release": ("[[", "]]"),
    "environment": ("{{", "}}"),
}
# Strokes alone: a fill that reads well on white does not on black.
_STYLES: Mapping[Mark, str] = {
    "passed": "stroke:#1a7f37,stroke-width:2px",
    "refused": "stroke:#d1242f,stroke-width:3px",
    "changed": "stroke-width:3px,stroke-dasharray:6 3",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One thing that something is made of, or by; `reads` are the names of others."""

    name: str
    kind: Kind
    reads: tuple[str, ...] = ()
    mark: Mark | None = None


def flowchart(boxes: Iterable[Box]) -> str:
    """The flowchart, without a fence; "" for no boxes. What is beyond 120 boxes is one box that says how many."""
    every = list({box.name: box for box in boxes}.values())
    kept = every[:_MOST]
    ids = {box.name: f"n{number}" for number, box in enumerate(kept)}
    lines = ["flowchart LR"]
    for box in kept:
        begin, end = _SHAPES[box.kind]
        style = f":::{box.mark}" if box.mark else ""
        lines.append(f'  {ids[box.name]}{begin}"{label(box.name)}"{end}{style}')
    if len(every) > len(kept):
        lines.append(f'  more["… and {len(every) - len(kept):,} more"]')
    lines += [f"  {ids[name]} --> {ids[box.name]}" for box in kept for name in dict.fromkeys(box.reads) if name in ids]
    marks = dict.fromkeys(box.mark for box in kept if box.mark)
    lines += [f"  classDef {mark} {_STYLES[mark]}" for mark in marks]
    return "\n".join(lines) if kept else ""


def label(text: str) -> str:
    """Text in quotes that ends neither them, nor the line, nor the fence around it, and holds no HTML or Markdown."""
    line = " ".join(text.split())
    line = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
    return re.sub(r"[^\w .,:/…-]", lambda found: f"#{ord(found[0])};", line)
