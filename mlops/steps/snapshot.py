"""`snapshot`: a source frozen at one moment, as one Parquet table named by the digest of its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.adapters import sources
from mlops.adapters.parquet import parquet_of
from mlops.errors import ConfigError, nearest
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1


def snapshot(workspace: Workspace, *, source: str) -> Record:
    """The digest of a source's table under `data`; the same content gives the same digest on any machine.

    Raises what `mlops.adapters.sources.read` raises: an unsound, empty, missing or changing source.
    """
    declared = workspace.config.sources.get(source)
    if declared is None:
        raise ConfigError(
            f"there is no source {source!r} in [tool.mlops.sources]",
            next_step=nearest(source, workspace.config.sources),
        )
    table = sources.read(declared, name=source, root=workspace.root)
    rows = table.rows
    return Record(
        step="snapshot",
        subject=source,
        outputs={"data": workspace.objects.put(parquet_of(rows))},
        metrics={"rows": float(rows.num_rows), "columns": float(rows.num_columns)},
        facts={
            "source": source,
            "origin": table.origin,
            "files": [{"name": p.name, "size": p.size, "digest": p.digest} for p in table.parts],
            "missing": {name: rows[name].null_count for name in rows.column_names if rows[name].null_count},
        },
    )
