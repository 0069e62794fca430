"""Verdicts, records and exhibits as text, Markdown, JSON and one HTML file: pure functions of values."""

from collections.abc import Callable
from pathlib import PurePath

from mlops.errors import UsageError
from mlops.reports import as_json, html, markdown, text
from mlops.reports.words import Shown
from mlops.verdict import Report

FORMATS: dict[str, Callable[[Report, Shown], str]] = {
    ".html": html.render,
    ".md": markdown.render,
    ".json": as_json.render,
    ".txt": text.render,
}
"""How a report is written, by the file's suffix."""


def format_of(file: PurePath) -> Callable[[Report, Shown], str]:
    """The format that the file's name asks for; UsageError where there is none."""
    if file.suffix not in FORMATS:
        raise UsageError(f"{file} has no suffix of a report", next_step=f"end it with one of {', '.join(FORMATS)}")
    return FORMATS[file.suffix]
