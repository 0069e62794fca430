"""The store on one machine: Parquet in the object store joined by DuckDB, the newest rows in SQLite."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.declare import FeatureView
from mlops.errors import DeclarationError
from mlops.stores.online import FILE, OnlineReader, forget, publish, published
from mlops.stores.protocol import ColumnStatistics, Lookup, Statistics

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

    from mlops.adapters.objects import ObjectStore

_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "BOOLEAN", "DECIMAL", "U")


class EmbeddedStore:
    """Features below `home`; their history lies in `objects`, so it is written once and verified when read."""

    def __init__(self, home: Path, objects: ObjectStore) -> None:
        self.home = home
        self.objects = objects

    @property
    def online_file(self) -> Path:
        """The SQLite file that the service reads."""
        return self.home / FILE

    def write(self, view: FeatureView, features: pd.DataFrame) -> str:
        """Store the rows sorted by entity and time, times in UTC microseconds without a zone; gives its digest."""
        keys = [view.entity, view.timestamp]
        table = features.assign(**{view.timestamp: utc(features[view.timestamp], view.timestamp, view)})
        table = table.assign(**{str(name): _plain(table[name]) for name in table.columns})
        table = table.drop_duplicates(keys, keep="last").sort_values(keys, kind="stable")
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False, compression="zstd", coerce_timestamps="us")
        return self.objects.put(buffer.getvalue())

    def point_in_time(self, rows: pd.DataFrame, lookups: Sequence[Lookup], *, timestamp: str) -> pd.DataFrame:
        """One ASOF join for each view; see `protocol` for the rule."""
        import pandas as pd

        found: dict[str, pd.Series] = {}
        for lookup in lookups:
            found.update(self._look_up(rows, lookup, timestamp))
        return pd.DataFrame(found, index=rows.index)

    def publish(self, view: FeatureView, written: str) -> int:
        """Put the newest row of each entity into the SQLite file, in one transaction."""
        key, at = _quoted(view.entity), _quoted(view.timestamp)
        with _duckdb() as connection:
            newest = connection.sql(
                f"SELECT * FROM read_parquet(?) QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {at} DESC) = 1 "  # noqa: S608 - quoted names
                f"ORDER BY {key}",
                params=[str(self.objects.path(written))],
            ).to_arrow_table()
        ttl = view.ttl.total_seconds() if view.ttl else None
        return publish(self.online_file, view.name, view.entity, newest.to_pylist(), ttl, timestamp=view.timestamp)

    def online(self, view: str, keys: Sequence[Any], now: float) -> list[Mapping[str, Any]]:
        """The newest values of entities as of `now` (seconds since 1970)."""
        return self._reader.read(view, keys, now)

    def statistics(self, view: FeatureView, written: str) -> Statistics:
        """Counts, times and ranges of the stored rows."""
        path = str(self.objects.path(written))
        key, at = _quoted(view.entity), f"epoch_us({_quoted(view.timestamp)})"
        with _duckdb() as connection:
            counts = f"SELECT count(*), count(DISTINCT {key}), min({at}) / 1e6, max({at}) / 1e6 FROM read_parquet(?)"  # noqa: S608 - quoted names
            rows, entities, oldest, newest = _one(connection, counts, path)
            columns = {
                name: _column(connection, path, name, is_number=kind.startswith(_NUMBERS))
                for name, kind in _columns(connection, path).items()
                if name not in (view.entity, view.timestamp)
            }
        return Statistics(rows=rows, entities=entities, oldest=oldest, newest=newest, columns=columns)

    def prune(self, keep: Collection[str]) -> tuple[str, ...]:
        """Remove the views not named from the SQLite file; their history stays in the object store."""
        gone = tuple(p.view for p in published(self.online_file) if p.view not in keep)
        for view in gone:
            forget(self.online_file, view)
        return gone

    @cached_property
    def _reader(self) -> OnlineReader:
        return OnlineReader(self.online_file)

    def _look_up(self, rows: pd.DataFrame, lookup: Lookup, timestamp: str) -> dict[str, pd.Series]:
        path, view = str(self.objects.path(lookup.written)), lookup.view
        with _duckdb() as connection:
            kinds = _columns(connection, path)
            asked = _asked(rows, view, timestamp)
            _refuse_other_kind(asked, kinds[view.entity], view)
            connection.register("asked", asked)
            table = connection.sql(_join(lookup, kinds), params=[path]).to_arrow_table().to_pandas()
        return {name: table[name].set_axis(rows.index) for name in lookup.columns.values()}


def utc(times: pd.Series, name: str, view: FeatureView) -> pd.Series:
    """Times in UTC microseconds without a zone, rounded down; DeclarationError for what is no time."""
    import pandas as pd

    reason = f"it holds {times.dtype}"
    if not pd.api.types.is_numeric_dtype(times.dtype):
        try:
            return pd.to_datetime(times, utc=True).dt.tz_localize(None).dt.as_unit("us")
        except (TypeError, ValueError) as error:
            reason = str(error)
    raise DeclarationError(
        f"{view.origin}: the timestamp {name!r} of {view.name} is not a time: {reason}",
        next_step=f"name it in [tool.mlops.sources.{view.source}.timestamps], or use pd.to_datetime",
    )


def _plain(values: pd.Series) -> pd.Series:
    """Categories as the values they stand for: a request knows no categories."""
    import pandas as pd

    return values.astype(values.cat.categories.dtype) if isinstance(values.dtype, pd.CategoricalDtype) else values


def _asked(rows: pd.DataFrame, view: FeatureView, timestamp: str) -> pa.Table:
    import pyarrow as pa

    keys = _plain(rows[view.entity])
    times = utc(rows[timestamp], timestamp, view)
    return pa.table(
        {
            "position": pa.array(range(len(rows)), pa.int64()),
            "key": pa.Array.from_pandas(keys),
            "at": pa.Array.from_pandas(times).cast(pa.timestamp("us")).cast(pa.int64()),
        }
    )


def _join(lookup: Lookup, kinds: Mapping[str, str]) -> str:
    view = lookup.view
    fresh = f"found.at >= asked.at - {int(view.ttl.total_seconds() * 1e6)}" if view.ttl else "true"
    chosen = ", ".join(
        f"CASE WHEN {fresh} THEN {_value(column, kinds[column])} END AS {_quoted(name)}"
        for column, name in lookup.columns.items()
    )
    stored = ", ".join({_quoted(column): None for column in lookup.columns})
    return f"""
        SELECT {chosen} FROM asked ASOF LEFT JOIN (
            SELECT {_quoted(view.entity)} AS "__key", epoch_us({_quoted(view.timestamp)}) AS at, {stored}
            FROM read_parquet(?)
        ) AS found ON asked.key = found."__key" AND asked.at > found.at
        ORDER BY asked.position
    """  # noqa: S608 - quoted names


def _value(column: str, kind: str) -> str:
    value = f"found.{_quoted(column)}"
    return f"CAST({value} AS DOUBLE)" if kind.startswith(_NUMBERS) else value


def _refuse_other_kind(asked: pa.Table, stored: str, view: FeatureView) -> None:
    """A key 7 never meets a key "7"; say so instead of giving only missing values."""
    import pyarrow as pa

    kind = asked.schema.field("key").type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not pa.types.is_null(kind) and is_number != stored.startswith(_NUMBERS):
        raise DeclarationError(
            f"{view.origin}: {view.entity} is {kind} in the rows, but {stored.lower()} in {view.name}",
            next_step=f"give {view.entity} the same type in the source and in what {view.name} returns",
        )


def _column(connection: duckdb.DuckDBPyConnection, path: str, name: str, *, is_number: bool) -> ColumnStatistics:
    column = _quoted(name)
    number = f"CAST({column} AS DOUBLE)" if is_number else "CAST(NULL AS DOUBLE)"
    missing, distinct, mean, low, high = _one(
        connection,
        f"SELECT count(*) FILTER ({column} IS NULL) / greatest(count(*), 1), approx_count_distinct({column}), "  # noqa: S608 - quoted names
        f"avg({number}), min({number}), max({number}) FROM read_parquet(?)",
        path,
    )
    return ColumnStatistics(missing=missing, distinct=distinct, mean=mean, low=low, high=high)


def _duckdb() -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "true"})


def _one(connection: duckdb.DuckDBPyConnection, query: str, path: str) -> tuple[Any, ...]:
    row = connection.execute(query, [path]).fetchone()
    return row or ()


def _columns(connection: duckdb.DuckDBPyConnection, path: str) -> dict[str, str]:
    rows = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()
    return {row[0]: row[1] for row in rows}


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
