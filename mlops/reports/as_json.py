"""A report for machines."""

from __future__ import annotations

from typing import Any

import msgspec

from mlops.reports.words import Shown
from mlops.verdict import Report


def render(report: Report, shown: Shown | None = None) -> str:
    """JSON with the outcome, every record, every finding, and the exhibits that are given."""
    return msgspec.json.format(msgspec.json.encode(plain(report, shown))).decode()


def plain(report: Report, shown: Shown | None = None) -> dict[str, Any]:
    """The report as JSON values, with the computed outcomes written out."""
    values: dict[str, Any] = msgspec.to_builtins(report)
    values["outcome"] = report.outcome.value
    for entry, record in zip(values["records"], report.records, strict=True):
        if record.verdict is not None:
            entry["verdict"]["outcome"] = record.verdict.outcome.value
    if shown:
        values["exhibits"] = msgspec.to_builtins(shown)
    return values
