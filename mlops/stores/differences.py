"""What two views' written histories have in common, and where they differ: read by DuckDB, whatever their size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.declare import FeatureView
from mlops.stores import history
from mlops.stores.joins import is_number, quoted

if TYPE_CHECKING:
    import duckdb

    from mlops.adapters.objects import ObjectStore

QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
SHOWN = 5
LEAST = 0.999
"""In how many of the rows two columns are equal, or how correlated they are, where one of them is enough."""
_SAMPLED = 100_000  # rows that two views are searched for near-duplicates in
_FEWEST = 30  # rows that a likeness is told of


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A view and the name of its written history."""

    view: FeatureView
    written: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A row on which two columns differ."""

    entity: Any
    at: Any
    first: Any
    second: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDifference:
    """A column that both have, over the rows that both have; `mean` and `quantiles` are of second minus first.

    `missing` are the rows that are missing in the first alone, and in the second alone.
    """

    name: str
    equal: float
    missing: tuple[int, int]
    mean: float | None
    quantiles: tuple[float, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two histories beside each other; pairs are (of the first alone, of the second alone)."""

    rows: int  # that both have: one entity at one time
    only_rows: tuple[int, int]
    only_entities: tuple[int, int]
    only_columns: tuple[tuple[str, ...], tuple[str, ...]]
    columns: tuple[ColumnDifference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """Two columns of two views that say the same of the rows that both have."""

    first: str
    second: str
    rows: int
    equal: float
    correlation: float | None

    @property
    def same(self) -> bool:
        """Whether they are equal, and not merely correlated."""
        return self.equal > LEAST


def compare(objects: ObjectStore, first: Written, second: Written) -> Difference:
    """Where two histories of one entity differ."""
    with history.duck() as connection:
        kinds = [_laid(connection, objects, one, name) for one, name in ((first, "a"), (second, "b"))]
        shared = [name for name in kinds[0] if name in kinds[1]]
        connection.execute(f"CREATE TEMP VIEW both_have AS {_BOTH}")
        counts = "SELECT (SELECT count(*) FROM both_have), (SELECT count(*) FROM a), (SELECT count(*) FROM b)"
        rows, ours, theirs = _one(connection, counts)
        return Difference(
            rows=rows,
            only_rows=(ours - rows, theirs - rows),
            only_entities=(_alone(connection, "a", "b"), _alone(connection, "b", "a")),
            only_columns=(
                tuple(name for name in kinds[0] if name not in kinds[1]),
                tuple(name for name in kinds[1] if name not in kinds[0]),
            ),
            columns=tuple(_column(connection, name, kinds[0][name], kinds[1][name]) for name in shared),
        )


def alike(objects: ObjectStore, first: Written, second: Written) -> tuple[Alike, ...]:
    """The columns of two views that are equal, or correlated, in more than LEAST of the rows that both have."""
    with history.duck() as connection:
        ours, theirs = (_laid(connection, objects, one, name) for one, name in ((first, "a"), (second, "b")))
        pairs = [(x, y) for x in ours for y in theirs if is_number(ours[x]) == is_number(theirs[y])]
        if not pairs:
            return ()
        # Whole entities, so that what is sampled of one view is sampled of the other.
        (count,) = _one(connection, "SELECT count(*) FROM a")
        sampled = f"WHERE hash(a.entity) % {max(1, count // _SAMPLED)} = 0"
        asked = ", ".join(_likeness(x, y, ours[x]) for x, y in pairs)
        found = _one(connection, f"SELECT {asked} FROM a JOIN b USING (entity, happened) {sampled}")  # noqa: S608 - quoted names
    told = [
        Alike(
            first=x,
            second=y,
            rows=int(found[4 * place]),
            equal=float(found[4 * place + 1] or 0.0),
            correlation=_finite(found[4 * place + 2]),
        )
        for place, (x, y) in enumerate(pairs)
        if found[4 * place + 3] > 1  # one value everywhere is like any other one
    ]
    return tuple(one for one in told if one.rows >= _FEWEST and max(one.equal, abs(one.correlation or 0.0)) > LEAST)


def kinds(objects: ObjectStore, one: Written) -> dict[str, str]:
    """What each feature of a history is: a number, a boolean, a time or text."""
    with history.duck() as connection:
        files = [str(file) for file in history.parts(objects, one.written)]
        found = history.columns(connection, files)
    return {name: _kind(kind) for name, kind in found.items() if name not in one.view.keys}


_BOTH = "SELECT entity, happened, a, b FROM a JOIN b USING (entity, happened)"


def _laid(connection: duckdb.DuckDBPyConnection, objects: ObjectStore, one: Written, name: str) -> Mapping[str, str]:
    """Give a history as the view `name`: entity, happened and its features as one struct; gives the features' types.

    Of several rows of one entity and time the one that became known last counts.
    """
    files = [str(file) for file in history.parts(objects, one.written)]
    found = {c: kind for c, kind in history.columns(connection, files).items() if c not in one.view.keys}
    entity, at = quoted(one.view.entity), quoted(one.view.timestamp)
    features = ", ".join(f"{quoted(c)} := {quoted(c)}" for c in found) or "nothing := NULL"
    known = quoted(one.view.created or one.view.timestamp)
    last = f"QUALIFY row_number() OVER (PARTITION BY {entity}, {at} ORDER BY {known} DESC) = 1"
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    connection.execute(
        f"CREATE TEMP VIEW {name} AS SELECT {entity} AS entity, {at} AS happened, struct_pack({features}) AS {name} "  # noqa: S608 - quoted names
        f"FROM read_parquet([{listed}], union_by_name = true) {last if one.view.created else ''}"
    )
    return found


def _column(connection: duckdb.DuckDBPyConnection, name: str, ours: str, theirs: str) -> ColumnDifference:
    numbers = is_number(ours) and is_number(theirs)
    a, b = (f"CAST({side}.{quoted(name)} AS {'DOUBLE' if numbers else 'VARCHAR'})" for side in ("a", "b"))
    gap = f"{b} - {a}" if numbers else "CAST(NULL AS DOUBLE)"
    equal, gone, new, mean, quantiles = _one(
        connection,
        f"SELECT avg(CAST({a} IS NOT DISTINCT FROM {b} AS INTEGER)), "  # noqa: S608 - quoted names
        f"count(*) FILTER ({a} IS NULL AND {b} IS NOT NULL), count(*) FILTER ({b} IS NULL AND {a} IS NOT NULL), "
        f"avg({gap}), quantile_cont({gap}, {list(QUANTILES)}) FROM both_have",
    )
    order = f"abs({gap}) DESC NULLS LAST, entity, happened" if numbers else "entity, happened"
    rows = connection.execute(
        f"SELECT entity, happened, a.{quoted(name)}, b.{quoted(name)} FROM both_have WHERE {a} IS DISTINCT FROM {b} "  # noqa: S608 - quoted names
        f"ORDER BY {order} LIMIT {SHOWN}"
    ).fetchall()
    return ColumnDifference(
        name=name,
        equal=float(equal) if equal is not None else 0.0,
        missing=(int(gone), int(new)),
        mean=_finite(mean),
        quantiles=tuple(float(one) for one in quantiles or ()) if mean is not None else (),
        examples=tuple(Example(entity=e, at=t, first=x, second=y) for e, t, x, y in rows),
    )


def _alone(connection: duckdb.DuckDBPyConnection, one: str, other: str) -> int:
    query = f"SELECT count(*) FROM (SELECT DISTINCT entity FROM {one} EXCEPT SELECT DISTINCT entity FROM {other})"  # noqa: S608 - fixed words
    return int(_one(connection, query)[0])


def _likeness(x: str, y: str, kind: str) -> str:
    """Rows where one of the two has a value, the share of them that are equal, the correlation, distinct values."""
    as_what = "DOUBLE" if is_number(kind) else "VARCHAR"
    a, b = f"CAST(a.a.{quoted(x)} AS {as_what})", f"CAST(b.b.{quoted(y)} AS {as_what})"
    there = f"FILTER ({a} IS NOT NULL OR {b} IS NOT NULL)"
    correlated = f"corr({a}, {b})" if as_what == "DOUBLE" else "NULL"
    equal = f"avg(CAST({a} IS NOT DISTINCT FROM {b} AS INTEGER)) {there}"
    return f"count(*) {there}, {equal}, {correlated}, approx_count_distinct({a})"


def _kind(kind: str) -> str:
    if kind == "BOOLEAN":
        return "boolean"
    if is_number(kind):
        return "number"
    return "time" if kind.startswith(("TIMESTAMP", "DATE")) else "text"


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and value == value and abs(value) != float("inf") else None  # noqa: PLR0124 - NaN


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> Sequence[Any]:
    return connection.execute(query).fetchone() or ()
