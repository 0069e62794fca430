"""The rule of time as SQL for DuckDB: the ASOF join of a view's history, and the newest row of each entity.

A row is *available* from the later of its time and its known time. Of the rows in the order in which they become
available, those that are older than one already there never count, so they are left out; then the newest row at T is
the last one available before T, which one ASOF join finds. Stored columns go by position (`v0`, `v1`…) inside a query,
so no name of a user's can clash with ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlops.declare import FeatureView

NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "BOOLEAN", "DECIMAL", "U")
NOTHING = '"NULL"'
"""What DuckDB calls the type of a column without any value."""

SOURCE = "read_parquet(?, union_by_name = true)"


def lookup(view: FeatureView, columns: Sequence[str], kinds: Mapping[str, str]) -> str:
    """The columns `v0`, `v1`… of the row that counts, for each row of `asked` (position, key, moment), in its order."""
    fresh = f"found.happened >= asked.moment - {microseconds(view.ttl.total_seconds())}" if view.ttl else "true"
    values = [_value(place, kinds[column]) for place, column in enumerate(columns)]
    chosen = ", ".join(f"CASE WHEN {fresh} THEN {value} END AS v{place}" for place, value in enumerate(values))
    stored = "".join(f", {quoted(column)} AS v{place}" for place, column in enumerate(columns))
    return f"""
        SELECT {chosen} FROM asked ASOF LEFT JOIN ({available(view, stored)}) AS found
            ON asked.key = found.key AND asked.moment > found.available
        ORDER BY asked.position
    """  # noqa: S608 - quoted names


def newest(view: FeatureView, columns: Sequence[str], before: int) -> str:
    """`key`, `happened`, `known` and `v0`… of each entity's row that counts at the moment `before`, in microseconds."""
    stored = "".join(f", {quoted(column)} AS v{place}" for place, column in enumerate(columns))
    return f"""
        SELECT * FROM ({_rows(view, stored)}) WHERE happened < {before} AND known < {before}
        QUALIFY row_number() OVER (PARTITION BY key ORDER BY happened DESC, known DESC) = 1
    """  # noqa: S608 - quoted names


def is_number(kind: str) -> bool:
    """Whether a type of DuckDB's is a number or a truth value."""
    return kind.startswith(NUMBERS)


def quoted(name: str) -> str:
    """A column's name as SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def microseconds(seconds: float) -> int:
    """The nearest whole microsecond: a float holds today's time to a quarter of one."""
    return round(seconds * 1e6)


def _rows(view: FeatureView, stored: str) -> str:
    at = f"epoch_us({quoted(view.timestamp)})"
    known = f"epoch_us({quoted(view.created)})" if view.created else at
    wanted = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in view.keys)
    return (
        f"SELECT {quoted(view.entity)} AS key, {at} AS happened, {known} AS known{stored} FROM {SOURCE} WHERE {wanted}"  # noqa: S608 - quoted names
    )


def available(view: FeatureView, stored: str) -> str:
    """`key`, `happened`, `known`, `available` and what is `stored` of the rows that ever count, one at each moment."""
    if view.created is None:
        return f"SELECT *, happened AS available FROM ({_rows(view, stored)})"  # noqa: S608 - quoted names
    return f"""
        SELECT * FROM (SELECT *, greatest(happened, known) AS available FROM ({_rows(view, stored)}))
        QUALIFY happened >= max(happened) OVER (PARTITION BY key ORDER BY available, happened, known)
            AND available IS DISTINCT FROM lead(available) OVER (PARTITION BY key ORDER BY available, happened, known)
    """  # noqa: S608 - quoted names


def _value(place: int, kind: str) -> str:
    return f"CAST(found.v{place} AS DOUBLE)" if is_number(kind) or kind == NOTHING else f"found.v{place}"
