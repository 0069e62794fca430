"""`schema`: the committed schema of a source, written once from its data, then changed only on purpose."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.adapters import schema_files
from mlops.errors import ConfigError, UsageError, nearest
from mlops.gates import schema as gate
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
    fresh = infer(frame, source=source)
    document = _merged(_read(path), fresh, frame, source) if before else fresh
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


def _merged(old: Mapping[str, Any], fresh: dict[str, Any], frame: pd.DataFrame, source: str) -> dict[str, Any]:
    """The old document, with what `frame` breaks taken from the fresh one."""
    broken = {f.subject for f in gate.judge(gate.parse(old), frame, source=source) if f.fired}
    columns = {
        name: _widened(old["columns"][name], column)
        if name in old["columns"] and name in broken
        else old["columns"].get(name, column)
        for name, column in fresh["columns"].items()
    }
    metadata = dict(fresh["metadata"])
    rising = [name for name in (old.get("metadata") or {}).get("increasing", []) if name in columns]
    metadata["increasing"] = [name for name in rising if name not in broken]
    return {**fresh, **old, "columns": columns, "metadata": {k: v for k, v in metadata.items() if v}}


def _widened(old: Mapping[str, Any], fresh: dict[str, Any]) -> dict[str, Any]:
    """The fresh column, but ranges and lists include what the old one allowed."""
    before, after = old.get("checks") or {}, dict(fresh["checks"] or {})
    if old.get("dtype") != fresh["dtype"]:
        return fresh
    if "isin" in before and "isin" in after:
        after["isin"] = [*before["isin"], *(value for value in after["isin"] if value not in before["isin"])]
    if "in_range" in before and "in_range" in after:
        low = min(before["in_range"]["min_value"], after["in_range"]["min_value"])
        high = max(before["in_range"]["max_value"], after["in_range"]["max_value"])
        after["in_range"] = {**before["in_range"], "min_value": low, "max_value": high}
    nullable = bool(old.get("nullable")) or fresh["nullable"]
    return {
        **old,
        "nullable": nullable,
        "unique": fresh["unique"] and old.get("unique", False),
        "checks": after or None,
    }


def _diff(before: str, after: str, name: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"before/{name}", f"after/{name}"
    )
    return "".join(lines)
