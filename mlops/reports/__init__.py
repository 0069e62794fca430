"""Verdicts and records as text, Markdown and JSON: pure functions of values."""

from collections.abc import Callable

from mlops.reports import as_json, markdown, text
from mlops.verdict import Report

FORMATS: dict[str, Callable[[Report], str]] = {
    "text": text.render,
    "markdown": markdown.render,
    "json": as_json.render,
}
