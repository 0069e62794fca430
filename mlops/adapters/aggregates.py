"""Facts about a table of any size, by DuckDB: one scan for all columns, a second only for what is broken.

A snapshot is a Parquet file and is streamed; ten million rows need no more memory than one million. A frame can be
asked in the same way, so that tests and the self-test ask what a run asks.
"""

# ruff: noqa: S608  names and texts are quoted by rule_sql; nothing of a user becomes SQL unquoted
from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.adapters import expressions
from mlops.adapters.row_order import backwards
from mlops.adapters.rule_sql import COMPARISONS, bound_sql, name_sql, rule_sql, suspect_sql, text_sql
from mlops.facts import LEVELS, Broken, Facts, Kind, Rule

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

MEMORY = "2GB"
"""What DuckDB may take; more goes to the disk."""

_ROW = "file_row_number"  # as DuckDB calls the position of a row in a Parquet file
_SAMPLE = 20_000  # rows from which quantiles are taken
_SHOWN, _LOOKED_AT = 5, 200
_APART = ("missing", "repeated", "backwards", "false", *COMPARISONS)  # asked apart, and only where needed


@contextmanager
def of_parquet(path: Path, *, scratch: Path | None = None) -> Iterator[Aggregates]:
    """The table of a Parquet file; `scratch` is where what does not fit into memory goes."""
    with _connected(scratch) as connection:
        from pyarrow import parquet

        file = parquet.ParquetFile(path)
        rows, names = file.metadata.num_rows, file.schema_arrow.names
        if _ROW in names:  # DuckDB refuses to number the rows where a column has that name
            yield _arrow(connection, file.read())
            return
        source = f"read_parquet({text_sql(str(path))}, file_row_number = true)"
        yield Aggregates(connection, source, rows, _ROW, path)


@contextmanager
def of_frame(frame: pd.DataFrame) -> Iterator[Aggregates]:
    """A frame as a table; a column of mixed objects counts as text."""
    import pyarrow as pa

    columns = {}
    for position, name in enumerate(frame.columns):
        series = frame.iloc[:, position]
        if getattr(series.dtype, "tz", None) is not None:
            series = series.dt.tz_convert(None)  # as a snapshot holds times: in UTC, without a zone
        try:
            column = pa.array(series, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            column = pa.array([None if gone else str(value) for value, gone in zip(series, series.isna(), strict=True)])
        columns[str(name)] = column.cast(pa.float64()) if pa.types.is_null(column.type) else column
    with _connected(None) as connection:
        yield _arrow(connection, pa.table(columns), rows=len(frame))


class Aggregates:
    """A table that answers; it lives as long as the `with` of `of_parquet` or `of_frame`."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, source: str, rows: int, row: str, stored: Path | pa.Table
    ) -> None:
        self._connection, self._source, self._row, self._stored = connection, source, name_sql(row), stored
        self.rows = rows
        described = self._all(f"DESCRIBE SELECT * FROM {source}")
        self.kinds: Mapping[str, Kind] = {name: _kind(kind) for name, kind, *_ in described if name != row}

    def measure(self, rules: Collection[Rule], *, scales: Collection[str] = ()) -> Facts:
        """Missing values and extremes of every column, which rules are broken by which rows, quantiles of `scales`."""
        extremes = [_extremes(name_sql(name), kind) for name, kind in self.kinds.items()]
        simple = [rule for rule in rules if rule.test not in _APART]
        counts = [f"count(*) FILTER (WHERE {suspect_sql(rule, self.kinds)})" for rule in simple]
        told = list(self._all(f"SELECT {', '.join([*extremes, *counts]) or 'count(*)'} FROM {self._source}")[0])
        width = 3 * len(self.kinds)
        facts = {name: told[3 * k : 3 * k + 3] for k, name in enumerate(self.kinds)}
        found = dict(zip(simple, told[width:], strict=True))
        broken, unanswered = self._broken(rules, found, facts)
        return Facts(
            missing={name: self.rows - present for name, (present, _, _) in facts.items()},
            lowest={name: low for name, (_, low, _) in facts.items() if low is not None},
            highest={name: high for name, (_, _, high) in facts.items() if high is not None},
            broken=broken,
            unanswered=unanswered,
            scales=self._scales(list(scales)),
        )

    def quantiles(self, column: str, levels: Sequence[float]) -> tuple[float, ...]:
        """Exact quantiles of all finite values of a numeric column; () where there are none."""
        c = f"{name_sql(column)}::DOUBLE"
        found = self._all(
            f"SELECT quantile_cont({c}, [{', '.join(map(str, levels))}]) FROM {self._source} WHERE isfinite({c})"
        )[0][0]
        return tuple(found or ())

    def histograms(self, edges: Mapping[str, Sequence[float]]) -> dict[str, NDArray[np.int64]]:
        """How many rows of each numeric column (times: microseconds) are below the first edge, between, above the last.

        An edge belongs to the bin above it, as `numpy.searchsorted(edges, values, "right")` has it; all in one scan.
        """
        import numpy as np

        asked = []
        for name, cuts in edges.items():
            c = name_sql(name)
            value = f"epoch_us({c})" if self.kinds[name] == "time" else f"{c}::DOUBLE"
            # DuckDB's own bins hold their upper edge; the next smaller number makes them hold the lower one.
            bounds = ", ".join(repr(float(np.nextafter(cut, -np.inf))) for cut in cuts)
            asked.append(f"histogram({value}::DOUBLE, [{bounds}]::DOUBLE[])")
        told = self._all(f"SELECT {', '.join(asked)} FROM {self._source}")[0] if asked else ()
        return {name: _binned(counts, edges[name]) for name, counts in zip(edges, told, strict=True)}

    def counts(self, column: str, *, most: int) -> dict[str, int]:
        """The `most` commonest values of a column as text, with their rows; ties in the order of the text."""
        query = f"SELECT {name_sql(column)}::VARCHAR AS v, count(*) AS n FROM {self._source} WHERE v IS NOT NULL"
        return dict(self._all(f"{query} GROUP BY v ORDER BY n DESC, v LIMIT {int(most)}"))

    def column(self, name: str) -> pd.Series | None:
        """All values of one column, None where there is none of that name."""
        if name not in self.kinds:
            return None
        query = f"SELECT {name_sql(name)} FROM {self._source}"
        values: pd.Series = self._connection.sql(query).to_arrow_table().column(0).to_pandas()
        return values.rename(name)

    def present(self, column: str) -> int:
        """How many values of a column are not missing."""
        return int(self._all(f"SELECT count({name_sql(column)}) FROM {self._source}")[0][0])

    def by_content(
        self, columns: Sequence[str], most: int, *, wanted: Sequence[str], filled: str | None
    ) -> pd.DataFrame:
        """About `most` rows, drawn by content: rows with equal `columns` are all in or all out, so shares stay.

        Only rows with a value in `filled`, where it is given; in the table's order.
        """
        among = self.rows if filled is None else self.present(filled)
        where = [] if filled is None else [f"{name_sql(filled)} IS NOT NULL"]
        if among > most:
            content = ", ".join(map(name_sql, columns)) or self._row
            where.append(f"hash({content}) < {2**64 // among * most}")
        only = f"WHERE {' AND '.join(where)}" if where else ""
        names = ", ".join(map(name_sql, wanted))
        drawn = self._connection.sql(f"SELECT {names} FROM {self._source} {only} ORDER BY {self._row}")
        frame: pd.DataFrame = drawn.to_arrow_table().to_pandas()
        return frame

    def _scales(self, names: Sequence[str]) -> dict[str, tuple[tuple[float, ...], int]]:
        """Quantiles of a sample of rows that is the same each time; drawn by a hash, as every tenth row may be noon."""
        import numpy as np

        if not names:
            return {}
        wanted = ", ".join(f"{name_sql(name)}::DOUBLE" for name in names)
        every = max(1, self.rows // _SAMPLE)
        where = f"WHERE hash({self._row}) % {every} = 0" if every > 1 else ""
        drawn = self._connection.sql(f"SELECT {wanted} FROM {self._source} {where}").to_arrow_table()
        found = {}
        for name, column in zip(names, drawn.columns, strict=True):
            values = column.drop_null().to_numpy()
            values = values[np.isfinite(values) & (values != 0)]
            if values.size:
                found[name] = (tuple(np.quantile(values, LEVELS).tolist()), int(values.size))
        return found

    def _broken(
        self, rules: Collection[Rule], counted: Mapping[Rule, int], facts: Mapping[str, Any]
    ) -> tuple[dict[Rule, Broken], dict[Rule, str]]:
        """What is broken, by which rows; and which constraints cannot be asked of these columns."""
        import duckdb

        found: dict[Rule, Broken | None] = {}
        unanswered = {}
        for rule in rules:
            if rule.test == "repeated":
                found[rule] = self._repeated(rule)
            elif rule.test == "backwards":
                found[rule] = self._backwards(rule)
            elif rule.test == "missing":
                found[rule] = self._first(rule) if facts[rule.column][0] < self.rows else None
            elif rule.test == "false":
                try:
                    found[rule] = self._first(rule)
                except duckdb.Error as error:
                    unanswered[rule] = str(error).partition("\n")[0]
            elif rule.test in COMPARISONS:
                at = facts[rule.column][1 if rule.test in ("below", "not above") else 2]
                found[rule] = self._first(rule) if at is not None and self._true(rule, at) else None
            else:
                found[rule] = self._first(rule) if counted[rule] else None
        return {rule: broken for rule, broken in found.items() if broken is not None and broken.count}, unanswered

    def _true(self, rule: Rule, extreme: Any) -> bool:
        """Whether an extreme value breaks a bound."""
        time = self.kinds[rule.column] == "time"
        at = f"'{extreme}'::TIMESTAMP" if time else f"'{float(extreme)}'::DOUBLE"
        return bool(self._all(f"SELECT {at} {COMPARISONS[rule.test]} {bound_sql(rule, self.kinds)}")[0][0])

    def _first(self, rule: Rule) -> Broken:
        where = rule_sql(rule, self.kinds)
        shown = name_sql(rule.column) if rule.test != "false" else self._values(expressions.columns(str(rule.value)))
        count = self._all(f"SELECT count(*) FROM {self._source} WHERE {where}")[0][0]
        rows = self._all(
            f"SELECT {self._row}, {shown}::VARCHAR FROM {self._source} WHERE {where} "
            f"ORDER BY {self._row} LIMIT {_LOOKED_AT}"
        )
        return _told(count, rows)

    def _values(self, columns: Sequence[str]) -> str:
        return "concat_ws(', ', " + ", ".join(f"{text_sql(n + ' = ')} || {name_sql(n)}::VARCHAR" for n in columns) + ")"

    def _repeated(self, rule: Rule) -> Broken | None:
        names = [name_sql(name) for name in rule.value]
        key, filled = ", ".join(names), f"{names[0]} IS NOT NULL" if len(names) == 1 else "true"
        one = names[0] if len(names) == 1 else f"hash({key})"
        present, different = self._all(f"SELECT count(*), count(DISTINCT {one}) FROM {self._source} WHERE {filled}")[0]
        if present == different:
            return None
        twice = (
            f"SELECT {self._row} AS r, concat_ws(', ', {key}) AS v, row_number() OVER (PARTITION BY {key} "
            f"ORDER BY {self._row}) AS k FROM {self._source} WHERE {filled} QUALIFY k > 1"
        )
        count = self._all(f"SELECT count(*) FROM ({twice})")[0][0]
        rows = self._all(f"SELECT r, v FROM ({twice}) ORDER BY r LIMIT {_LOOKED_AT}")
        return _told(count, rows) if count else None

    def _backwards(self, rule: Rule) -> Broken | None:
        """Rows whose time is before that of the row above, read in order, a batch at a time."""
        from pyarrow import parquet

        if isinstance(self._stored, Path):
            batches = parquet.ParquetFile(self._stored).iter_batches(columns=[rule.column])
        else:
            batches = self._stored.select([rule.column]).to_batches()
        count, rows = backwards((batch.column(0) for batch in batches), most=_SHOWN)
        return _told(count, rows) if count else None

    def _all(self, query: str) -> list[Any]:
        return list(self._connection.execute(query).fetchall())


def _arrow(connection: duckdb.DuckDBPyConnection, table: pa.Table, rows: int | None = None) -> Aggregates:
    import numpy as np
    import pyarrow as pa

    count = table.num_rows if rows is None else rows
    numbered = table.append_column("__row", pa.array(np.arange(count)))
    connection.register("__table", numbered)
    return Aggregates(connection, "__table", count, "__row", table)


@contextmanager
def _connected(scratch: Path | None) -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    config = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "true", "memory_limit": MEMORY}
    if scratch is not None:
        config["temp_directory"] = str(scratch)
    with duckdb.connect(config=config) as connection:
        yield connection


def _extremes(column: str, kind: Kind) -> str:
    if kind in ("text", "bool"):
        return f"count({column}), NULL, NULL"
    plain = "::VARCHAR" if kind == "time" else ""  # a time with a zone would need pytz to become a Python value
    return f"count({column}), min({column}){plain}, max({column}){plain}"


def _kind(name: str) -> Kind:
    if name == "BOOLEAN":
        return "bool"
    if name.startswith(("TIMESTAMP", "DATE")):
        return "time"
    if name.startswith(("DOUBLE", "FLOAT", "DECIMAL")):
        return "float"
    return "int" if name.endswith(("INT", "INTEGER")) else "text"


def _binned(counts: Mapping[float, int] | None, edges: Sequence[float]) -> NDArray[np.int64]:
    import numpy as np

    found = np.zeros(len(edges) + 1, dtype=np.int64)
    for upper, count in (counts or {}).items():
        found[int(np.searchsorted(np.asarray(edges), upper, "right"))] += count
    return found


def _told(count: int, rows: Sequence[tuple[int, str]]) -> Broken:
    values = tuple(dict.fromkeys(str(value)[:80] for _, value in rows))[:_SHOWN]
    return Broken(int(count), tuple(int(row) for row, _ in rows[:_SHOWN]), values)
