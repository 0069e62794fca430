"""A comparison as text, markdown, HTML and JSON; `FORMATS` by the suffix of a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlops.errors import UsageError
from mlops.exhibits import Table
from mlops.reports.words import counted, number
from mlops.verdict import Record

_LONGEST = 46  # characters of a cell in a terminal
_NO_CODE = "The project's code that travels in them is the same."


def text(record: Record) -> str:
    """For a terminal: tables one below the other, then the diff."""
    lines: list[str] = []
    for table in record.facts["tables"]:
        lines += [f"{table.title}: {table.caption}", *_columns(table), ""]
    lines += [f"Framework: {said}", ""] if (said := _framework(record)) else []
    lines += ["Code", record.facts["code"] or _NO_CODE]
    return "\n".join(lines)


def markdown(record: Record) -> str:
    """For a comment or a page."""
    one, other = record.facts["names"]
    lines = [f"# {one} and {other}", ""]
    for table in record.facts["tables"]:
        lines += [f"## {table.title}", "", f"{table.caption[:1].upper()}{table.caption[1:]}.", ""]
        if table.rows:
            lines += [_row(table.columns), _row(["---"] * len(table.columns))]
            lines += [_row(map(number, row)) for row in table.rows] + [""]
    lines += ["## Framework", "", said, ""] if (said := _framework(record)) else []
    code = record.facts["code"]
    fence = "`" * max(3, 1 + max((len(run) for run in _runs_of_ticks(code)), default=0))
    return "\n".join([*lines, "## Code", "", f"{fence}diff\n{code}\n{fence}" if code else _NO_CODE, ""])


def html(record: Record) -> str:
    """One page without network or script."""
    from jinja2 import Environment

    made = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"number": number, "numeric": lambda cell: isinstance(cell, int | float)}
    page = made.from_string((Path(__file__).parent / "compare.html.jinja").read_text(encoding="utf-8"))
    facts = record.facts
    return page.render(**facts, no_code=_NO_CODE, said=_framework(record), lines=facts["code"].splitlines())


def as_json(record: Record) -> str:
    """For machines; a table is its rows, each by its columns' names."""
    facts = record.facts
    tables = [
        {"title": t.title, "caption": t.caption, "columns": list(t.columns), "rows": t.rows} for t in facts["tables"]
    ]
    values: dict[str, Any] = {**facts, "tables": tables}
    return json.dumps(values, indent=2) + "\n"


FORMATS: Mapping[str, Callable[[Record], str]] = {".txt": text, ".md": markdown, ".html": html, ".json": as_json}


def format_of(file: Path) -> Callable[[Record], str]:
    """The format that a file's suffix asks for; UsageError where there is none."""
    if file.suffix not in FORMATS:
        raise UsageError(
            f"{file.name}: there is no report in {file.suffix or 'a file without a suffix'}",
            next_step=f"use one of {', '.join(FORMATS)}",
        )
    return FORMATS[file.suffix]


def _columns(table: Table) -> Iterator[str]:
    rows = [tuple(map(_short, row)) for row in (table.columns, *map(_told, table.rows))] if table.rows else []
    widths = [max(len(row[place]) for row in rows) for place in range(len(table.columns))] if rows else []
    for row in rows:
        yield ("  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))).rstrip()


def _told(row: tuple[float | str | None, ...]) -> tuple[str, ...]:
    return tuple(number(cell) for cell in row)


def _short(cell: str) -> str:
    return cell if len(cell) <= _LONGEST else f"{cell[: _LONGEST - 1]}…"


def _framework(record: Record) -> str:
    files = record.facts["framework"]
    if not files:
        return ""
    shown = ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
    return f"{counted(len(files), 'file')} of mlops itself differ: {shown}"


def _row(cells: Any) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _runs_of_ticks(code: str) -> list[str]:
    return ["`" * len(part) for part in "".join(c if c == "`" else " " for c in code).split()]
