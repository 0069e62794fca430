"""The newest value of each entity, in microseconds: SQLite in WAL mode, read by many, changed in one transaction.

The service imports this file, so it must stay free of pandas and DuckDB. A key is an int or a string, and `1`
and `"1"` are two keys. Callers give times in seconds since 1970, UTC; kept are whole microseconds, so that what
expires at a moment does so exactly.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import msgspec

from mlops.adapters.files import disk_errors
from mlops.errors import OutsideError
from mlops.stores.protocol import EXPIRED, MISSING

FILE = "online.sqlite"
_WAIT_SECONDS = 30.0
_KEYS_AT_ONCE = 500
_KINDS = {int, str}
_GONE = ("NaT", "<NA>", "nan")

Newest = tuple[Any, int, int, Mapping[str, Any]]
"""A row to publish: its entity, its time and the time from which it was known, in microseconds, and its features."""

# Columns without a type keep an int an int and a string a string.
_TABLES = """
CREATE TABLE IF NOT EXISTS newest (
    view TEXT NOT NULL, key NOT NULL, at INTEGER NOT NULL, known INTEGER NOT NULL, expires INTEGER,
    feature_values BLOB NOT NULL, PRIMARY KEY (view, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS published (
    view TEXT PRIMARY KEY, entity TEXT NOT NULL, published REAL NOT NULL, as_of REAL NOT NULL, newest INTEGER,
    rows INTEGER NOT NULL
) WITHOUT ROWID;
"""
_INCOMING = """
CREATE TEMP TABLE incoming (
    key PRIMARY KEY NOT NULL, at INTEGER NOT NULL, known INTEGER NOT NULL, expires INTEGER, feature_values BLOB NOT NULL
) WITHOUT ROWID
"""
_LATER = "(excluded.at, excluded.known) >= (at, known)"
_OTHER = (
    "(excluded.at, excluded.known, excluded.feature_values) != (at, known, feature_values) "
    "OR excluded.expires IS NOT expires"
)
_SET = (
    "SET at = excluded.at, known = excluded.known, expires = excluded.expires, feature_values = excluded.feature_values"
)
_STAGE = f"INSERT INTO incoming VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE {_SET} WHERE {_LATER}"  # noqa: S608 - fixed words
_PUT = "INSERT INTO newest SELECT ?, * FROM incoming WHERE true ON CONFLICT DO UPDATE {} WHERE {}"  # fixed words
_ONE = "SELECT expires, feature_values FROM newest WHERE view = ? AND key = ?"
_MANY = "SELECT key, expires, feature_values FROM newest WHERE view = ? AND key IN ({})"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What the online store holds of a view; times in seconds since 1970, `newest` that of the newest row."""

    view: str
    entity: str
    published: float
    newest: float | None
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What is published and when; `ttl` in microseconds, `as_of` the moment at which the history's source was read.

    Without `as_of`, it is that of the newest row.
    """

    view: str
    entity: str
    published: float
    ttl: int | None = None
    as_of: float | None = None


class OnlineReader:
    """Reads the newest features of entities from the file at `path`; one instance serves all threads.

    A store, view or key that is not there reads as MISSING, a value past its time to live as EXPIRED; both are empty.
    """

    slow = False  # microseconds: well done in an event loop

    def __init__(self, path: Path) -> None:
        self.path = path
        self._own = threading.local()

    def read(self, view: str, keys: Sequence[Any], now: float) -> list[Mapping[str, Any]]:
        """One mapping of feature to value for each key, in the order of the keys, as of `now`."""
        connection = self._connection()
        if connection is None:
            return [MISSING] * len(keys)
        if not _KINDS.issuperset(map(type, keys)):
            keys = [_plain(key) for key in keys]  # SQLite takes numpy's numbers for bytes, and finds nothing
        try:
            if len(keys) == 1:
                row = connection.execute(_ONE, (view, keys[0])).fetchone()
                return [_fresh(row, _microseconds(now)) if row else MISSING]
            return self._read_many(connection, view, keys, now)
        except OverflowError:
            # A key that SQLite cannot hold, an int beyond 64 bits, is in no store; read the others alone.
            return [MISSING] if len(keys) == 1 else [self.read(view, [key], now)[0] for key in keys]
        except sqlite3.Error as error:
            raise OutsideError(f"cannot read {self.path}: {error}", next_step="publish the features again") from error

    def close(self) -> None:
        """Close this thread's connection; the next read opens it again."""
        connection = getattr(self._own, "connection", None)
        if connection is not None:
            self._own.connection = None
            connection.close()

    def _read_many(
        self, connection: sqlite3.Connection, view: str, keys: Sequence[Any], now: float
    ) -> list[Mapping[str, Any]]:
        found: dict[Any, Mapping[str, Any]] = {}
        moment = _microseconds(now)
        with _one_state(connection):
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                some = keys[start : start + _KEYS_AT_ONCE]
                query = _MANY.format(",".join("?" * len(some)))
                for key, *rest in connection.execute(query, (view, *some)):
                    found[key] = _fresh(rest, moment)
        return [found.get(key, MISSING) for key in keys]

    def _connection(self) -> sqlite3.Connection | None:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = _reading(self.path)
        return cast("sqlite3.Connection | None", connection)


def publish(
    path: Path,
    view: str,
    entity: str,
    frame_or_rows: Any,
    ttl_seconds: float | None = None,
    *,
    timestamp: str | None = None,
) -> int:
    """Make the newest row of each entity what the store holds of `view`; gives the number of entities held.

    Rows are a DataFrame or mappings with the columns `entity`, `timestamp` and features; without `timestamp` they
    are as of now.
    """
    now = time.time()
    ttl = None if ttl_seconds is None else _microseconds(ttl_seconds)
    about = Publication(view=view, entity=entity, ttl=ttl, published=now, as_of=None if timestamp else now)
    return publish_newest(path, about, _newest(frame_or_rows, entity, timestamp, now))


def publish_newest(path: Path, about: Publication, rows: Iterable[Newest]) -> int:
    """Make `rows` what the store holds of a view, and never go back; gives the number of entities held.

    A history as of the same moment as what is held, or a later one, replaces it. An earlier one changes nothing.
    Where nobody said as of when, a history whose newest row is no later than what is held adds the rows that are newer
    than its own. One transaction: readers see all the old values, then all the new, and a kill leaves the old.
    """
    with _writing(path) as connection:
        connection.execute(_INCOMING)
        # Rows are made ready beside the table, so that other writers wait for the exchange alone.
        with connection:
            connection.execute("BEGIN")
            connection.executemany(_STAGE, _staged(rows, about))
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            return _exchange(connection, about)


def published(path: Path) -> tuple[Published, ...]:
    """What the store at `path` holds, by view; empty when there is no store."""
    connection = _reading(path)
    if connection is None:
        return ()
    with closing(connection):
        rows = connection.execute(
            "SELECT view, entity, published, newest, rows FROM published ORDER BY view"
        ).fetchall()
    return tuple(
        Published(view=view, entity=entity, published=at, newest=None if newest is None else newest / 1e6, rows=count)
        for view, entity, at, newest, count in rows
    )


def expired(path: Path, view: str, now: float) -> int:
    """How many entities of a view are past their time to live at `now`."""
    connection = _reading(path)
    if connection is None:
        return 0
    with closing(connection):
        count = "SELECT count(*) FROM newest WHERE view = ? AND expires < ?"
        return int(connection.execute(count, (view, _microseconds(now))).fetchone()[0])


def forget(path: Path, view: str) -> None:
    """Remove a view from the store at `path`; nothing happens when it is not there."""
    if not path.exists():
        return
    with _writing(path) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM newest WHERE view = ?", (view,))
        connection.execute("DELETE FROM published WHERE view = ?", (view,))


def _exchange(connection: sqlite3.Connection, about: Publication) -> int:
    """Bring what was made ready into the table, as far as it is not older than what is there."""
    (held,) = connection.execute("SELECT max(as_of) FROM published WHERE view = ?", (about.view,)).fetchone()
    (latest,) = connection.execute("SELECT max(max(at, known)) FROM incoming").fetchone()
    as_of = about.as_of if about.as_of is not None else (latest or 0) / 1e6
    if held is not None and about.as_of is not None and as_of < held:
        return _held(connection, about.view)[0]
    if held is None or as_of > held or about.as_of is not None:
        connection.execute("DELETE FROM newest WHERE view = ? AND key NOT IN (SELECT key FROM incoming)", (about.view,))
        connection.execute(_PUT.format(_SET, _OTHER), (about.view,))
    else:
        connection.execute(_PUT.format(_SET, _LATER), (about.view,))
    count, newest = _held(connection, about.view)
    row = (about.view, about.entity, about.published, max(as_of, held or as_of), newest, count)
    connection.execute("INSERT OR REPLACE INTO published VALUES (?, ?, ?, ?, ?, ?)", row)
    return count


def _held(connection: sqlite3.Connection, view: str) -> tuple[int, int | None]:
    count, newest = connection.execute("SELECT count(*), max(at) FROM newest WHERE view = ?", (view,)).fetchone()
    return int(count), newest


def _staged(rows: Iterable[Newest], about: Publication) -> Iterator[tuple[Any, ...]]:
    for key, at, known, features in rows:
        values = {name: _plain(value) for name, value in features.items()}
        yield _plain(key), at, known, None if about.ttl is None else at + about.ttl, _encode(values)


@contextmanager
def _one_state(connection: sqlite3.Connection) -> Iterator[None]:
    """Let several statements read one state of the store, whatever is published meanwhile."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def _reading(path: Path) -> sqlite3.Connection | None:
    """A connection that cannot write; None where there is no store yet."""
    if not path.exists():
        return None
    try:
        connection = sqlite3.connect(_address(path, "ro"), uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'newest'").fetchone():
            return connection
    except sqlite3.Error as error:
        raise OutsideError(f"cannot read {path}: {error}", next_step="publish the features again") from error
    connection.close()
    return None


@contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(_writer(path)) as connection:
            yield connection
    except (sqlite3.Error, OverflowError) as error:
        raise _cannot_write(path, error) from error


def _writer(path: Path) -> sqlite3.Connection:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(_address(path, "rwc"), uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(_TABLES)
    return connection


def _cannot_write(path: Path, error: Exception) -> OutsideError:
    if "full" in str(error):
        return OutsideError(f"no space left for {path}", next_step="free some space, then run again")
    return OutsideError(f"cannot write {path}: {error}", next_step="check its owner, rights and keys, then run again")


def _address(path: Path, mode: str) -> str:
    return f"file:{quote(str(path.resolve()))}?mode={mode}"


def _fresh(row: Sequence[Any], now: int) -> Mapping[str, Any]:
    expires, values = row
    return EXPIRED if expires is not None and expires < now else _decode(values)


def _newest(frame_or_rows: Any, entity: str, timestamp: str | None, now: float) -> Iterator[Newest]:
    for row in _rows(frame_or_rows):
        at = now if timestamp is None else _seconds(row[timestamp])
        if at is not None and _plain(row[entity]) is not None:
            moment = _microseconds(at)
            features = {name: value for name, value in row.items() if name not in (entity, timestamp)}
            yield row[entity], moment, moment, features


def _microseconds(seconds: float) -> int:
    """The nearest whole microsecond: a float holds today's time to a quarter of one."""
    return round(seconds * 1e6)


def _rows(frame_or_rows: Any) -> Iterator[Mapping[str, Any]]:
    if hasattr(frame_or_rows, "columns"):
        names = list(frame_or_rows.columns)
        lists = [frame_or_rows[name].tolist() for name in names]
        yield from (dict(zip(names, values, strict=True)) for values in zip(*lists, strict=True))
    else:
        yield from cast("Iterable[Mapping[str, Any]]", frame_or_rows)


def _plain(value: Any) -> Any:
    """A value as SQLite and msgpack know it; missing in any form, and not finite, is None."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int | bool):
        return value
    return None if value is None or str(value) in _GONE else str(value)


def _seconds(value: Any) -> float | None:
    """Seconds since 1970 of a datetime (naive is UTC) or a number; None when missing."""
    if value is None or str(value) in _GONE:
        return None
    if isinstance(value, int | float):
        return float(value)
    from datetime import UTC, datetime

    moment = cast("datetime", value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
