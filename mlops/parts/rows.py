"""What the snapshot of a source holds, asked of its Parquet file by DuckDB: cells, the rows of a slice, a sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.adapters.parquet import columns
from mlops.parts.grid import Call, Cell, Cells, Extent
from mlops.stores.history import duck
from mlops.stores.joins import quoted

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

_DAY = 86_400_000_000
_SOURCE = "read_parquet(?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The snapshot of a source in `file`, cut by the columns `entity` and `time`; None: not by that."""

    file: str
    entity: str | None
    time: str | None
    buckets: int = 1
    threads: int | None = None  # None: as many as there are cores

    def columns(self) -> list[str]:
        """The names of the table's columns."""
        return columns(Path(self.file))

    def extent(self) -> Extent:
        """How many rows, from which day to which."""
        day = f"min({self._day}), max({self._day})" if self.time else "NULL, NULL"
        rows, first, last = self._asked(f"SELECT count(*), {day} FROM {_SOURCE}")[0]  # noqa: S608 - quoted names
        return Extent(rows=rows, first=first, last=last)

    def cells(self) -> Cells:
        """Rows and their digest by bucket and day.

        The digest is the sum and the exclusive or of the rows' hashes: the order of rows is no matter, how often one
        comes is.
        """
        query = f"""
            SELECT {self._bucket}, {self._day if self.time else "NULL"}, count(*), bit_xor(h), sum(h)
            FROM (SELECT *, hash(rows) AS h FROM {_SOURCE} AS rows) GROUP BY 1, 2
        """  # noqa: S608 - quoted names
        return {
            (bucket, day): Cell(count, f"{xor:x}.{total:x}") for bucket, day, count, xor, total in self._asked(query)
        }

    def read(self, call: Call) -> pd.DataFrame:
        """The rows that a call reads, in the source's order, with the types that the whole table has."""
        wanted = [f"{self._bucket} = {call.bucket}"]
        if self.time and call.since is not None:
            until = "" if call.until is None else f" AND {self._moment} < {call.until * _DAY}"
            since = f"{self._moment} >= {call.since * _DAY}{until}"
            wanted.append(f"({since} OR {quoted(self.time)} IS NULL)")
        return self._frame(f"SELECT * FROM {_SOURCE} WHERE {' AND '.join(wanted)}")  # noqa: S608 - quoted names

    def sample(self, *, most: int, each: int) -> pd.DataFrame:
        """About `most` rows: the first `each` of the most frequent entities, and of others by chance."""
        key, time = quoted(self.entity or ""), quoted(self.time or self.entity or "")
        query = f"""
            WITH counted AS (
                SELECT {key} AS k, least(count(*), {each}) AS n FROM {_SOURCE} WHERE {key} IS NOT NULL GROUP BY 1
            ), ranked AS (
                SELECT k, sum(n) OVER (ORDER BY place <= {most // 2 // each} DESC, hash(k), k) AS upto, n
                FROM (SELECT *, row_number() OVER (ORDER BY n DESC, hash(k), k) AS place FROM counted)
            )
            SELECT * FROM {_SOURCE} WHERE {key} IN (SELECT k FROM ranked WHERE upto <= {most} OR upto = n)
            QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {time}) <= {each}
        """  # noqa: S608 - quoted names
        return self._frame(query, files=2)

    @property
    def _bucket(self) -> str:
        return f"(hash({quoted(self.entity)}) % {self.buckets})" if self.entity and self.buckets > 1 else "0"

    @property
    def _moment(self) -> str:
        return f"epoch_us({quoted(self.time or '')})"

    @property
    def _day(self) -> str:
        """Rounded down, before 1970 too; the difference is a multiple, so the division is exact."""
        at = self._moment
        return f"CAST(({at} - (({at} % {_DAY}) + {_DAY}) % {_DAY}) / {_DAY} AS BIGINT)"

    def _asked(self, query: str) -> list[tuple[Any, ...]]:
        with self._connected() as connection:
            found: list[tuple[Any, ...]] = connection.execute(query, [self.file]).fetchall()
        return found

    def _frame(self, query: str, files: int = 1) -> pd.DataFrame:
        with self._connected() as connection:
            table = connection.sql(query, params=[self.file] * files).to_arrow_table()
        return as_read(table, Path(self.file))

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with duck() as connection:
            if self.threads is not None:
                connection.execute(f"SET threads = {self.threads}")
            yield connection


def as_read(table: pa.Table, file: Path) -> pd.DataFrame:
    """Some rows of a Parquet file as they are when the whole of it is read: a missing value makes other types."""
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet

    buffer = pa.BufferOutputStream()
    parquet.write_table(table.cast(parquet.read_schema(file)), buffer, compression="none", store_schema=False)
    frame = pd.read_parquet(pa.BufferReader(buffer.getvalue()))
    gaps = _with_gaps(file)
    for name, kind in frame.dtypes.items():
        if name in gaps and pd.api.types.is_bool_dtype(kind):
            frame[name] = frame[name].astype(object)
        elif name in gaps and pd.api.types.is_integer_dtype(kind):
            frame[name] = frame[name].astype("float64")
    return frame


def _with_gaps(file: Path) -> set[str]:
    """The columns in which a value is missing anywhere; without statistics, any may be."""
    from pyarrow import parquet

    metadata = parquet.read_metadata(file)
    found = set()
    for group in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            column = metadata.row_group(group).column(place)
            about = column.statistics
            if about is not None and about.null_count:
                found.add(column.path_in_schema)
    return found


def shape(file: Path) -> list[list[str]]:
    """Each column's name and type, and whether a value is missing anywhere: what decides the types of a slice."""
    from pyarrow import parquet

    gaps = _with_gaps(file)
    return [[field.name, str(field.type), str(field.name in gaps)] for field in parquet.read_schema(file)]


def empty(file: Path) -> pd.DataFrame:
    """A frame without rows, with the table's columns and types."""
    from pyarrow import parquet

    frame: pd.DataFrame = parquet.read_schema(file).empty_table().to_pandas()
    return frame
