"""The newest value of each entity, in microseconds: SQLite in WAL mode, read by many, replaced in one transaction.

The service imports this file, so it must stay free of pandas and DuckDB. A key is an int or a string, and `1`
and `"1"` are two keys. A time is in seconds since 1970, UTC.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import msgspec

from mlops.adapters.files import disk_errors
from mlops.errors import OutsideError

FILE = "online.sqlite"
_WAIT_SECONDS = 30.0
_KEYS_AT_ONCE = 500
_MISSING = ("NaT", "<NA>", "nan")

# Columns without a type keep an int an int and a string a string.
_TABLES = """
CREATE TABLE IF NOT EXISTS latest (
    view TEXT NOT NULL, key NOT NULL, at REAL NOT NULL, expires REAL, feature_values BLOB NOT NULL,
    PRIMARY KEY (view, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS views (
    view TEXT PRIMARY KEY, entity TEXT NOT NULL, published REAL NOT NULL, newest REAL, rows INTEGER NOT NULL
) WITHOUT ROWID;
"""
_ONE = "SELECT expires, feature_values FROM latest WHERE view = ? AND key = ?"
_MANY = "SELECT key, expires, feature_values FROM latest WHERE view = ? AND key IN ({})"

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


class OnlineReader:
    """Reads the newest features of entities from the file at `path`; one instance serves all threads.

    A store, view or key that is not there, and a value past its time to live, reads as `{}`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._own = threading.local()

    def read(self, view: str, keys: Sequence[Any], now: float) -> list[Mapping[str, Any]]:
        """One mapping of feature to value for each key, in the order of the keys, as of `now`."""
        connection = self._connection()
        if connection is None:
            return [{} for _ in keys]
        try:
            if len(keys) == 1:
                row = connection.execute(_ONE, (view, keys[0])).fetchone()
                return [_fresh(row, now)] if row else [{}]
            return self._read_many(connection, view, keys, now)
        except (OverflowError, sqlite3.InterfaceError, sqlite3.ProgrammingError):
            # A key that SQLite cannot hold (an int beyond 64 bits, a list) is in no store; read the others alone.
            return [{}] if len(keys) == 1 else [self.read(view, [key], now)[0] for key in keys]
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
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            query = _MANY.format(",".join("?" * len(some)))
            for key, *rest in connection.execute(query, (view, *some)):
                found[key] = _fresh(rest, now)
        return [found.get(key, {}) for key in keys]

    def _connection(self) -> sqlite3.Connection | None:
        connection = getattr(self._own, "connection", None)
        if connection is None and self.path.exists():
            connection = sqlite3.connect(_address(self.path, "ro"), uri=True, timeout=_WAIT_SECONDS)
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'latest'").fetchone():
                connection.close()
                return None
            self._own.connection = connection
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
    """Replace what the store holds of `view` by the newest row of each entity; gives the number of entities.

    Rows are a DataFrame or mappings with the columns `entity`, `timestamp` and features; without `timestamp` they
    are as of now. One transaction: readers see all the old values, then all the new, and a kill leaves the old.
    """
    now = time.time()
    newest: dict[Any, tuple[float, Mapping[str, Any]]] = {}
    for row in _rows(frame_or_rows):
        key = _plain(row[entity])
        at = now if timestamp is None else _seconds(row[timestamp])
        if key is None or at is None:
            continue
        if key not in newest or at >= newest[key][0]:
            newest[key] = at, {name: _plain(value) for name, value in row.items() if name not in (entity, timestamp)}
    stored = [
        (view, key, at, None if ttl_seconds is None else at + ttl_seconds, _encode(features))
        for key, (at, features) in newest.items()
    ]
    latest = max((at for at, _ in newest.values()), default=None)
    _replace(path, view, stored, (view, entity, now, latest, len(stored)))
    return len(stored)


def published(path: Path) -> tuple[Published, ...]:
    """What the store at `path` holds, by view; empty when there is no store."""
    if not path.exists():
        return ()
    with closing(_writer(path)) as connection:
        rows = connection.execute("SELECT view, entity, published, newest, rows FROM views ORDER BY view").fetchall()
    return tuple(Published(view=v, entity=e, published=p, newest=n, rows=r) for v, e, p, n, r in rows)


def forget(path: Path, view: str) -> None:
    """Remove a view from the store at `path`; nothing happens when it is not there."""
    if path.exists():
        _replace(path, view, [], None)


def _replace(path: Path, view: str, rows: list[tuple[Any, ...]], about: tuple[Any, ...] | None) -> None:
    with closing(_writer(path)) as connection:
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("DELETE FROM latest WHERE view = ?", (view,))
                connection.execute("DELETE FROM views WHERE view = ?", (view,))
                connection.executemany("INSERT INTO latest VALUES (?, ?, ?, ?, ?)", rows)
                if about is not None:
                    connection.execute("INSERT INTO views VALUES (?, ?, ?, ?, ?)", about)
        except (sqlite3.Error, OverflowError) as error:
            raise _cannot_write(path, error) from error


def _writer(path: Path) -> sqlite3.Connection:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = sqlite3.connect(_address(path, "rwc"), uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_TABLES)
    except sqlite3.Error as error:
        raise _cannot_write(path, error) from error
    return connection


def _cannot_write(path: Path, error: Exception) -> OutsideError:
    if "full" in str(error):
        return OutsideError(f"no space left for {path}", next_step="free some space, then run again")
    return OutsideError(f"cannot write {path}: {error}", next_step="check its owner, rights and keys, then run again")


def _address(path: Path, mode: str) -> str:
    return f"file:{quote(str(path.resolve()))}?mode={mode}"


def _fresh(row: Sequence[Any], now: float) -> Mapping[str, Any]:
    expires, values = row
    return {} if expires is not None and expires < now else _decode(values)


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
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int | bool):
        return value
    return None if value is None or str(value) in _MISSING else str(value)


def _seconds(value: Any) -> float | None:
    """Seconds since 1970 of a datetime (naive is UTC) or a number; None when missing."""
    if value is None or str(value) in _MISSING:
        return None
    if isinstance(value, int | float):
        return float(value)
    from datetime import UTC, datetime

    moment = cast("datetime", value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
