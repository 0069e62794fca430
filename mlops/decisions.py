"""The decision log, read: what an environment has answered, and what its models were given.

One row for each predicted row: `at` (timestamp, UTC), `request_id`, `row` (of the request, from 0), `release`, `arm`
(`live`, `canary` or `shadow`), `prediction` (string for labels, double for a regression), `probability` (of a binary
model's second class, else null; a multiclass model has `probability.CLASS` for each), `request.FIELD` for each field
of the request and `feature.NAME` for each column that the model was given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.adapters.segments import CLOSED, OPEN, begun, rows_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet


def read(
    folder: Path,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """All decisions in `folder` from `since` on and before `until`, in the order of time; of all releases, all arms.

    Those of living workers too, up to the last moment (0.2 seconds) and those that workers left which died; those in
    folders one below too, where each service has one of its own (the pods of a cluster). A column
    that a release does not have is null in its rows; one that differs in type between releases is text.
    Times without a zone are UTC. A folder that is not there has no decisions: a table without rows.
    """
    import pyarrow as pa
    from pyarrow import compute

    wanted = None if columns is None else list(dict.fromkeys([*columns, "at"]))
    tables = list(_segments(folder, _utc(since), _utc(until), wanted))
    table = pa.concat_tables(_alike([*tables, _none(wanted)]), promote_options="permissive")
    kept = compute.is_valid(table["at"])
    if since is not None:
        kept = compute.and_(kept, compute.greater_equal(table["at"], _moment(since)))
    if until is not None:
        kept = compute.and_(kept, compute.less(table["at"], _moment(until)))
    ordered = table.filter(kept).sort_by("at")
    return ordered if columns is None else ordered.select(list(columns))


def _segments(
    folder: Path, since: datetime | None, until: datetime | None, wanted: list[str] | None
) -> Iterator[pa.Table]:
    """Open segments first: one that is closed meanwhile is found again as Parquet, and then counts as that."""
    from pyarrow import parquet

    opened = {path.stem: table for path in _files(folder, OPEN) if (table := _open(path)) is not None}
    for path in _files(folder, CLOSED):
        opened.pop(path.stem, None)
        if until is not None and begun(path.stem) >= until:
            continue
        try:
            file = parquet.ParquetFile(path)
        except FileNotFoundError:  # too old, and removed at this moment
            continue
        with file:
            names = file.schema_arrow.names
            if since is None or _newest(file, names.index("at")) >= since:
                yield file.read(names if wanted is None else [name for name in wanted if name in names])
    for table in opened.values():
        yield table if wanted is None else table.select([name for name in wanted if name in table.column_names])


def _files(folder: Path, suffix: str) -> list[Path]:
    return sorted([*folder.glob(f"*{suffix}"), *folder.glob(f"*/*{suffix}")], key=lambda path: path.name)


def _newest(file: parquet.ParquetFile, column: int) -> datetime:
    """The last moment of a segment, by its statistics."""
    groups = range(file.metadata.num_row_groups)
    newest: datetime = max(file.metadata.row_group(group).column(column).statistics.max for group in groups)
    return newest


def _open(path: Path) -> pa.Table | None:
    try:
        return rows_of(path)
    except FileNotFoundError:
        return None


def _none(wanted: list[str] | None) -> pa.Table:
    """No rows, of the columns that every segment has, or that are asked for."""
    import pyarrow as pa

    known = {
        "at": pa.timestamp("us", "UTC"),
        "request_id": pa.string(),
        "row": pa.int32(),
        "release": pa.string(),
        "arm": pa.string(),
        "prediction": pa.null(),
        "probability": pa.float64(),
    }
    names = list(known) if wanted is None else wanted
    return pa.schema([(name, known.get(name, pa.null())) for name in names]).empty_table()


def _alike(tables: list[pa.Table]) -> list[pa.Table]:
    """The tables with text in the columns that are text in some of them, and not in others."""
    import pyarrow as pa

    text = {field.name for table in tables for field in table.schema if field.type == pa.string()}
    return [
        table.cast(pa.schema([field.with_type(pa.string()) if field.name in text else field for field in table.schema]))
        for table in tables
    ]


def _moment(value: datetime) -> pa.Scalar:
    import pyarrow as pa

    return pa.scalar(_utc(value), pa.timestamp("us", "UTC"))


def _utc(value: datetime | None) -> datetime | None:
    return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)
