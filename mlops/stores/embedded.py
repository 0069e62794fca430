"""The store on one machine: Parquet in the object store joined by DuckDB, the newest rows in SQLite."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.declare import FeatureView
from mlops.errors import DeclarationError
from mlops.stores import history, joins
from mlops.stores.exchange import Newest, Publication, forget, publish_newest
from mlops.stores.joins import SOURCE, is_number, quoted
from mlops.stores.online import FILE, OnlineReader, published
from mlops.stores.protocol import ColumnStatistics, Lookup, Statistics

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

    from mlops.adapters.objects import ObjectStore

_ROWS_AT_ONCE = 20_000


class EmbeddedStore:
    """Features whose history lies in `objects`, written once and verified when read; those online are below `home`."""

    def __init__(self, home: Path, objects: ObjectStore) -> None:
        self.home = home
        self.objects = objects

    @property
    def online_file(self) -> Path:
        """The SQLite file that the service reads."""
        return self.home / FILE

    def write(self, view: FeatureView, features: pd.DataFrame) -> str:
        """Store the rows as one Parquet file; gives its digest."""
        return history.write(self.objects, view, features)

    def gather(self, view: FeatureView, names: Sequence[str]) -> str:
        """The digest of a small object that names the parts, each once and sorted."""
        return history.gather(self.objects, view, names)

    def point_in_time(self, rows: pd.DataFrame, lookups: Sequence[Lookup], *, timestamp: str) -> pd.DataFrame:
        """One ASOF join for each view; see `joins` for how, and `protocol` for the rule."""
        return looked_up(rows, lookups, lambda lookup: self._look_up(rows, lookup, timestamp))

    def publish(self, view: FeatureView, written: str, *, now: float | None = None, as_of: float | None = None) -> int:
        """Put each entity's newest row known before `now` into the SQLite file, in one transaction."""
        moment = time.time() if now is None else now
        files = self._files(written)
        with history.duck() as connection:
            names = [name for name in history.columns(connection, files) if name not in view.keys]
            query = joins.newest(view, names, joins.microseconds(moment))
            found = connection.execute(query, [files])
            about = Publication(
                view=view.name,
                entity=view.entity,
                ttl=joins.microseconds(view.ttl.total_seconds()) if view.ttl else None,
                published=moment,
                as_of=as_of,
            )
            return publish_newest(self.online_file, about, _rows(found, names))

    def online(self, view: str, keys: Sequence[Any], now: float) -> list[Mapping[str, Any]]:
        """The newest values of entities as of `now` (seconds since 1970)."""
        return self._reader.read(view, keys, now)

    def statistics(self, view: FeatureView, written: str) -> Statistics:
        """Counts, times and ranges of the stored rows."""
        files = self._files(written)
        key, at = quoted(view.entity), f"epoch_us({quoted(view.timestamp)})"
        with history.duck() as connection:
            counts = f"SELECT count(*), count(DISTINCT {key}), min({at}) / 1e6, max({at}) / 1e6 FROM {SOURCE}"  # noqa: S608 - quoted names
            rows, entities, oldest, newest = _one(connection, counts, files)
            columns = {
                name: _column(connection, files, name, kind)
                for name, kind in history.columns(connection, files).items()
                if name not in view.keys
            }
        return Statistics(rows=rows, entities=entities, oldest=oldest, newest=newest, columns=columns)

    def prune(self, keep: Collection[str]) -> tuple[str, ...]:
        """Remove the views not named from the SQLite file; their history stays in the object store."""
        gone = tuple(p.view for p in published(self.online_file) if p.view not in keep)
        for view in gone:
            forget(self.online_file, view)
        return gone

    def announce(self, model: str, reads: Mapping[str, Sequence[str]], tags: Mapping[str, str]) -> None:
        """Nothing: the releases' own manifests say what they read."""

    @cached_property
    def _reader(self) -> OnlineReader:
        return OnlineReader(self.online_file)

    def _files(self, written: str) -> list[str]:
        return [str(file) for file in history.parts(self.objects, written)]

    def _look_up(self, rows: pd.DataFrame, lookup: Lookup, timestamp: str) -> dict[str, pd.Series]:
        files, view, columns = self._files(lookup.written), lookup.view, list(lookup.columns)
        with history.duck() as connection:
            kinds = history.columns(connection, files)
            asked = asked_table(rows, view, timestamp)
            refuse_other_kind(asked, kinds[view.entity], view)
            connection.register("asked", asked)
            table = connection.sql(joins.lookup(view, columns, kinds), params=[files]).to_arrow_table().to_pandas()
        return {lookup.columns[name]: table[f"v{place}"].set_axis(rows.index) for place, name in enumerate(columns)}


def looked_up(
    rows: pd.DataFrame, lookups: Sequence[Lookup], look_up: Callable[[Lookup], Mapping[str, pd.Series]]
) -> pd.DataFrame:
    """The columns of every lookup beside the rows that asked; DeclarationError where two views give one column."""
    import pandas as pd

    found: dict[str, pd.Series] = {}
    for lookup in lookups:
        values = look_up(lookup)
        double = sorted(found.keys() & values.keys())
        if double:
            raise DeclarationError(
                f"{lookup.view.origin}: {lookup.view.name} and another view both give a column {double[0]!r}",
                next_step="read one of them only, or give one another name in a new version",
            )
        found.update(values)
    return pd.DataFrame(found, index=rows.index)


def asked_table(rows: pd.DataFrame, view: FeatureView, timestamp: str) -> pa.Table:
    """Who asks when: `position`, `key` and `moment`, in UTC microseconds."""
    import numpy as np
    import pyarrow as pa

    keys = history.whole(history.plain(rows[view.entity]))
    times = history.utc(rows[timestamp], timestamp, view)
    return pa.table(
        {
            "position": pa.array(np.arange(len(rows))),
            "key": pa.Array.from_pandas(keys),
            "moment": pa.Array.from_pandas(times).cast(pa.timestamp("us")).cast(pa.int64()),
        }
    )


def refuse_other_kind(asked: pa.Table, stored: str, view: FeatureView) -> None:
    """A key 7 never meets a key "7"; say so instead of giving only missing values."""
    import pyarrow as pa

    kind = asked.schema.field("key").type
    is_numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not pa.types.is_null(kind) and stored != joins.NOTHING and is_numeric != is_number(stored):
        raise DeclarationError(
            f"{view.origin}: {view.entity} is {kind} in the rows, but {stored.lower()} in {view.name}",
            next_step=f"give {view.entity} the same type in the source and in what {view.name} returns",
        )


def _rows(found: duckdb.DuckDBPyConnection, names: Sequence[str]) -> Iterator[Newest]:
    while rows := found.fetchmany(_ROWS_AT_ONCE):
        for key, happened, known, *values in rows:
            yield key, happened, known, dict(zip(names, values, strict=True))


def _column(connection: duckdb.DuckDBPyConnection, files: list[str], name: str, kind: str) -> ColumnStatistics:
    column = quoted(name)
    number = f"CAST({column} AS DOUBLE)" if is_number(kind) else "CAST(NULL AS DOUBLE)"
    missing, distinct, mean, low, high = _one(
        connection,
        f"SELECT count(*) FILTER ({column} IS NULL) / greatest(count(*), 1), approx_count_distinct({column}), "  # noqa: S608 - quoted names
        f"avg({number}), min({number}), max({number}) FROM {SOURCE}",
        files,
    )
    return ColumnStatistics(missing=missing, distinct=distinct, mean=mean, low=low, high=high)


def _one(connection: duckdb.DuckDBPyConnection, query: str, files: list[str]) -> tuple[Any, ...]:
    return connection.execute(query, [files]).fetchone() or ()
