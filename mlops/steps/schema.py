"""`schema`: the committed schema of a source, written once from its data, then changed only on purpose."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.adapters import aggregates, schema_files
from mlops.errors import ConfigError, UsageError, nearest
from mlops.gates import schema as gate
from mlops.gates.schema_document import BOUNDS
from mlops.statistics.schema_inference import infer
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The schema file, and the unified diff against what was there before ("" when nothing changed)."""

    path: Path
    diff: str


def schema(workspace: Workspace, *, source: str, frame: pd.DataFrame, update: bool = False) -> Written:
    """Write the schema of a source from `frame` (its snapshot), or widen the one there to what the data has become.

    An update changes only what `frame` breaks: constraints that still hold, and those that people added, stay.
    Without `update` a file that is there is an error, so nobody's review is overwritten.
    """
    path = place(workspace, source)
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    if before and not update:
        raise UsageError(
            f"{path} is there already",
            next_step=f"`mlops schema {source} --update` changes what today's data breaks; review the diff",
        )
    if before:
        old = _read(path)
        document = _merged(old, infer(frame, source=source), frame, source)
        if document == old:  # the text is left alone, with the comments that people wrote
            return Written(path=path, diff="")
    else:
        document = infer(frame, source=source)
    content = schema_files.text(document, source=source)
    if content != before:
        schema_files.write(path, content)
    return Written(path=path, diff=_diff(before, content, path.name))


def place(workspace: Workspace, source: str) -> Path:
    """Where the schema of a source is."""
    declared = workspace.config.sources.get(source)
    if declared is None:
        known = workspace.config.sources
        raise ConfigError(f"there is no source {source!r} in [tool.mlops.sources]", next_step=nearest(source, known))
    return workspace.root / (declared.schema or f"features/{source}.schema.yaml")


def _read(path: Path) -> dict[str, Any]:
    try:
        document = schema_files.read(path)
        gate.parse(document)
    except ValueError as error:
        raise ConfigError(f"{path} is not a schema: {error}", next_step="mend it, or delete it to start anew") from None
    return document


def _merged(old: dict[str, Any], fresh: dict[str, Any], frame: pd.DataFrame, source: str) -> dict[str, Any]:
    """The old document, with what `frame` breaks taken from the fresh one; equal to the old one if nothing is."""
    with aggregates.of_frame(frame) as table:
        schema = gate.parse(old)
        broken = {(f.check, f.subject) for f in gate.judge(schema, table, source=source) if f.fired}
    of_column = {name: {check for check, subject in broken if subject == name} for name in old["columns"]}
    kept = [name for name in old["columns"] if name in fresh["columns"] or not schema.columns[name].required]
    new = [name for name in fresh["columns"] if name not in old["columns"]] if schema.strict else []
    columns = {
        **{
            name: _widened(old["columns"][name] or {}, fresh["columns"][name], of_column[name])
            if of_column[name] - {"schema.unit", "schema.encoding", "schema.order"}
            else old["columns"][name]
            for name in kept
        },
        **{n: fresh["columns"][n] for n in new},
    }
    metadata = _metadata(old.get("metadata") or {}, fresh["metadata"], broken, kept, new)
    merged = {**old, "columns": columns}
    if metadata != (old.get("metadata") or {}):
        merged["metadata"] = metadata
    if ("schema.unique", ", ".join(schema.unique)) in broken:
        merged["unique"] = None
    if merged != old:
        merged["metadata"] = {**metadata, "rows": fresh["metadata"]["rows"]}
    return merged


def _metadata(
    old: Mapping[str, Any], fresh: Mapping[str, Any], broken: set[tuple[str, str]], kept: list[str], new: list[str]
) -> dict[str, Any]:
    """What is known of honest tables: as before but for what is broken, and for columns that are new or gone."""
    merged, columns = dict(old), [*kept, *new]
    for part, check in (("missing", "schema.presence"), ("scales", "schema.unit")):
        before, now = old.get(part) or {}, fresh.get(part) or {}
        first = part == "scales" and part not in old  # a schema from before there were scales gets them
        again = {n for n in columns if first or n in new or (check, n) in broken}
        known = {n: (now if n in again else before).get(n) for n in columns}
        merged[part] = {n: value for n, value in known.items() if value is not None}
    rising = old.get("increasing") or []
    merged["increasing"] = [n for n in rising if n in columns and ("schema.order", n) not in broken]
    marred = [n for n in fresh.get("garbled") or [] if ("schema.encoding", n) in broken]
    merged["garbled"] = list(dict.fromkeys([*(old.get("garbled") or []), *marred]))
    merged["constraints"] = [t for t in old.get("constraints") or [] if ("schema.constraint", t) not in broken]
    return {key: value for key, value in merged.items() if value or key not in _PARTS}


_PARTS = ("missing", "scales", "increasing", "garbled", "constraints")


def _widened(old: Mapping[str, Any], fresh: dict[str, Any], broken: set[str]) -> dict[str, Any]:
    """The old column without what is broken: ranges and lists include what the old one and the fresh one allow."""
    if "schema.type" in broken:
        return fresh
    checks, now = dict(old.get("checks") or {}), fresh["checks"] or {}
    if "schema.category" in broken:
        listed = checks.pop("isin", [])
        if "isin" in now:
            checks["isin"] = [*listed, *(value for value in now["isin"] if value not in listed)]
    if "schema.range" in broken:
        before = checks.pop("in_range", None)
        checks = {name: value for name, value in checks.items() if name not in BOUNDS}
        if before and "in_range" in now:
            low = min(before["min_value"], now["in_range"]["min_value"])
            high = max(before["max_value"], now["in_range"]["max_value"])
            checks["in_range"] = {**before, "min_value": low, "max_value": high}
    return {
        **old,
        "nullable": bool(old.get("nullable")) or fresh["nullable"],
        "unique": bool(old.get("unique")) and "schema.unique" not in broken,
        "checks": checks or None,
    }


def _diff(before: str, after: str, name: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"before/{name}", f"after/{name}"
    )
    return "".join(lines)
