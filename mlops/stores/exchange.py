"""What is published takes the place of what the online store held: one transaction, and never back in time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from mlops.adapters.files import disk_errors
from mlops.errors import OutsideError
from mlops.stores.online import GONE, WAIT_SECONDS, address, microseconds, plain

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
_encode = msgspec.msgpack.Encoder().encode


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
    ttl = None if ttl_seconds is None else microseconds(ttl_seconds)
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
        values = {name: plain(value) for name, value in features.items()}
        yield plain(key), at, known, None if about.ttl is None else at + about.ttl, _encode(values)


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
    connection = sqlite3.connect(address(path, "rwc"), uri=True, timeout=WAIT_SECONDS, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(_TABLES)
    return connection


def _cannot_write(path: Path, error: Exception) -> OutsideError:
    if "full" in str(error):
        return OutsideError(f"no space left for {path}", next_step="free some space, then run again")
    return OutsideError(f"cannot write {path}: {error}", next_step="check its owner, rights and keys, then run again")


def _newest(frame_or_rows: Any, entity: str, timestamp: str | None, now: float) -> Iterator[Newest]:
    for row in _rows(frame_or_rows):
        at = now if timestamp is None else _seconds(row[timestamp])
        if at is not None and plain(row[entity]) is not None:
            moment = microseconds(at)
            features = {name: value for name, value in row.items() if name not in (entity, timestamp)}
            yield row[entity], moment, moment, features


def _rows(frame_or_rows: Any) -> Iterator[Mapping[str, Any]]:
    if hasattr(frame_or_rows, "columns"):
        names = list(frame_or_rows.columns)
        lists = [frame_or_rows[name].tolist() for name in names]
        yield from (dict(zip(names, values, strict=True)) for values in zip(*lists, strict=True))
    else:
        yield from cast("Iterable[Mapping[str, Any]]", frame_or_rows)


def _seconds(value: Any) -> float | None:
    """Seconds since 1970 of a datetime (naive is UTC) or a number; None when missing."""
    if value is None or str(value) in GONE:
        return None
    if isinstance(value, int | float):
        return float(value)
    from datetime import UTC, datetime

    moment = cast("datetime", value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
