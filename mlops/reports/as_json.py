"""A report for machines."""

from __future__ import annotations

from typing import Any

import msgspec

from mlops.exhibits import Exhibit
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


def read(text: bytes | str) -> tuple[Report, Shown]:
    """What `render` wrote. Numbers that JSON lacks were written as null: a metric of that kind is left out.

    Raises msgspec.MsgspecError for what is no report of ours.
    """
    msgspec.json.decode(text, type=_Written)
    values = msgspec.json.decode(text)
    values.pop("outcome", None)
    shown = msgspec.convert(values.pop("exhibits", {}), dict[str, tuple[Exhibit, ...]])
    for entry in values["records"]:
        entry["metrics"] = {name: value for name, value in entry.get("metrics", {}).items() if value is not None}
        for finding in (entry.get("verdict") or {}).get("findings", ()):
            if finding.get("interval") and None in finding["interval"]:
                finding["interval"] = None
        if entry.get("verdict"):
            entry["verdict"].pop("outcome", None)
    return msgspec.convert(values, Report), shown


class _Written(msgspec.Struct):
    """As much of a report's form as is changed before it is read."""

    records: list[_Entry]


class _Entry(msgspec.Struct):
    metrics: dict[str, float | None] = {}
    verdict: _Judged | None = None


class _Judged(msgspec.Struct):
    findings: list[dict[str, Any]] = []
