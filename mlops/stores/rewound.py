"""Histories moved in time, so that an online store, which knows the present alone, can be asked about the past.

Each sampled entity's rows are moved by as much as makes *its* moment the present. Published together and read once,
they answer for n entities at n moments. What lies after an entity's moment moves along, and must not be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops.declare import FeatureView
from mlops.stores import history, joins
from mlops.stores.joins import SOURCE, quoted

if TYPE_CHECKING:
    import pandas as pd

    from mlops.adapters.objects import ObjectStore

_BEFORE, _AFTER = 50, 10
"""Rows of an entity that are moved: the newest before its moment, the last ones after it."""

_KINDS = 6


def drawn(view: FeatureView, written: str, objects: ObjectStore, *, count: int, seed: int) -> pd.DataFrame:
    """Up to `count` entities of a history, each with a moment: columns `key` and `moment` (UTC, microseconds).

    The entities with the newest row, with the oldest and with a missing value of each column come first, the rest are
    drawn by a hash of `seed`, so that the same ones are drawn on any machine. Their moments take turns: just after the
    newest row is known, at the very time of that, the last moment before it expires, the first one after, in the middle
    of its history, and before it.
    """
    files = [str(file) for file in history.parts(objects, written)]
    with history.duck() as connection:
        columns = [name for name in history.columns(connection, files) if name not in view.keys]
        keys = _special(columns)
        rows = _rows(view, columns)
        found = connection.execute(f"SELECT {', '.join(keys)} FROM ({rows})", [files]).fetchone()  # noqa: S608 - quoted names
        first = list(dict.fromkeys(key for key in found or () if key is not None))[:count]
        order = "md5(CAST(key AS VARCHAR) || ?)"
        rest = connection.execute(
            f"SELECT key FROM ({rows}) GROUP BY key ORDER BY {order} LIMIT {count}",  # noqa: S608 - quoted names
            [files, str(seed)],
        ).fetchall()
        chosen = list(dict.fromkeys([*first, *(key for (key,) in rest)]))[:count]
        if not chosen:
            return _moments([], [])
        times = connection.execute(
            f"SELECT key, min(available), quantile_disc(available, 0.5), max(available), max(happened) "  # noqa: S608 - quoted names
            f"FROM ({rows}) WHERE key IN (SELECT unnest(?)) GROUP BY key",
            [files, chosen],
        ).fetchall()
    by_key = {key: rest for key, *rest in times}
    return _moments(chosen, [_moment(view, at % _KINDS, by_key[key]) for at, key in enumerate(chosen)])


def rewound(
    view: FeatureView, written: str, objects: ObjectStore, asked: pd.DataFrame, *, present: int
) -> pd.DataFrame:
    """The rows of the entities in `asked` (`key`, `moment`, each key once), moved so that each moment is `present`.

    `present` is in microseconds since 1970. The columns are those of the history.
    """
    import pandas as pd

    files = [str(file) for file in history.parts(objects, written)]
    table = pd.DataFrame({"asked": asked["key"], "moment": microseconds(asked["moment"])})
    with history.duck() as connection:
        columns = [name for name in history.columns(connection, files) if name not in view.keys]
        connection.register("asked", table)
        found = connection.execute(
            f"SELECT * FROM ({_rows(view, columns)}) JOIN asked ON key = asked "  # noqa: S608 - quoted names
            "QUALIFY row_number() OVER (PARTITION BY key, available < moment ORDER BY happened DESC, known DESC) "
            f"<= CASE WHEN available < moment THEN {_BEFORE} ELSE {_AFTER} END ORDER BY key, happened, known",
            [files],
        ).df()
    moved = {view.entity: found["key"], view.timestamp: _time(found["happened"] - found["moment"] + present)}
    if view.created:
        moved[view.created] = _time(found["known"] - found["moment"] + present)
    return pd.DataFrame({**moved, **{name: found[f"v{place}"] for place, name in enumerate(columns)}})


def near_expiry(
    view: FeatureView, written: str, objects: ObjectStore, asked: pd.DataFrame, *, seconds: float
) -> list[bool]:
    """For each row of `asked` whether a row of its entity expires within `seconds` from its moment on."""
    if view.ttl is None or not len(asked):
        return [False] * len(asked)
    import pandas as pd

    files = [str(file) for file in history.parts(objects, written)]
    table = pd.DataFrame({"asked": asked["key"], "place": range(len(asked)), "moment": microseconds(asked["moment"])})
    oldest = f"moment - {joins.microseconds(view.ttl.total_seconds())}"
    with history.duck() as connection:
        connection.register("asked", table)
        rows = connection.execute(
            f"SELECT DISTINCT place FROM ({_rows(view, [])}) JOIN asked ON key = asked "  # noqa: S608 - quoted names
            f"WHERE happened BETWEEN {oldest} AND {oldest} + {joins.microseconds(seconds)}",
            [files],
        ).fetchall()
    near = {place for (place,) in rows}
    return [place in near for place in range(len(asked))]


def microseconds(moments: pd.Series) -> pd.Series:
    """Times without a zone as microseconds since 1970."""
    whole: pd.Series = moments.astype("datetime64[us]").astype("int64")
    return whole


def _moment(view: FeatureView, kind: int, times: Sequence[int]) -> int:
    first, middle, last, happened = times
    expires = happened + joins.microseconds(view.ttl.total_seconds()) if view.ttl else last
    return (last + 1, last, expires, expires + 1, middle + 1, first)[kind]


def _moments(keys: Sequence[object], moments: Sequence[int]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"key": list(keys), "moment": _time(pd.Series(list(moments), dtype="int64"))})


def _time(values: pd.Series) -> pd.Series:
    import pandas as pd

    return pd.Series(values.to_numpy("int64").astype("datetime64[us]"), index=values.index)


def _special(columns: Sequence[str]) -> list[str]:
    """The newest entity, the oldest, and one with a missing value of each column."""
    missing = [f"arg_max(key, happened) FILTER (v{place} IS NULL)" for place in range(len(columns))]
    return ["arg_max(key, happened)", "arg_min(key, happened)", *missing]


def _rows(view: FeatureView, columns: Sequence[str]) -> str:
    """`key`, `happened`, `known`, `available` in microseconds and `v0`… of all rows of the files to be given."""
    at = f"epoch_us({quoted(view.timestamp)})"
    known = f"epoch_us({quoted(view.created)})" if view.created else at
    values = "".join(f", {quoted(name)} AS v{place}" for place, name in enumerate(columns))
    wanted = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in view.keys)
    return (
        f"SELECT {quoted(view.entity)} AS key, {at} AS happened, {known} AS known, greatest({at}, {known}) AS available"  # noqa: S608 - quoted names
        f"{values} FROM {SOURCE} WHERE {wanted}"
    )
