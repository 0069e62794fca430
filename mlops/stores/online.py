"""The newest value of each entity, in microseconds: SQLite in WAL mode, read by many; `exchange` changes it.

The service imports this file, so it must stay free of pandas and DuckDB. A key is an int or a string, and `1`
and `"1"` are two keys. Callers give times in seconds since 1970, UTC; kept are whole microseconds, so that what
expires at a moment does so exactly.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import msgspec

from mlops.errors import OutsideError
from mlops.stores.protocol import EXPIRED, MISSING

FILE = "online.sqlite"
WAIT_SECONDS = 30.0
"""For how long a connection waits for another that writes."""

GONE = ("NaT", "<NA>", "nan")
"""What is missing, as text."""

_KEYS_AT_ONCE = 500
_KINDS = {int, str}
_ONE = "SELECT expires, feature_values FROM newest WHERE view = ? AND key = ?"
_MANY = "SELECT key, expires, feature_values FROM newest WHERE view = ? AND key IN ({})"
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
            keys = [plain(key) for key in keys]  # SQLite takes numpy's numbers for bytes, and finds nothing
        try:
            if len(keys) == 1:
                row = connection.execute(_ONE, (view, keys[0])).fetchone()
                return [_fresh(row, microseconds(now)) if row else MISSING]
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
        moment = microseconds(now)
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
        return int(connection.execute(count, (view, microseconds(now))).fetchone()[0])


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
        connection = sqlite3.connect(address(path, "ro"), uri=True, timeout=WAIT_SECONDS, isolation_level=None)
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'newest'").fetchone():
            return connection
    except sqlite3.Error as error:
        raise OutsideError(f"cannot read {path}: {error}", next_step="publish the features again") from error
    connection.close()
    return None


def _fresh(row: Sequence[Any], now: int) -> Mapping[str, Any]:
    expires, values = row
    return EXPIRED if expires is not None and expires < now else _decode(values)


def address(path: Path, mode: str) -> str:
    """The file as SQLite opens it, "ro" to read, "rwc" to write."""
    return f"file:{quote(str(path.resolve()))}?mode={mode}"


def microseconds(seconds: float) -> int:
    """The nearest whole microsecond: a float holds today's time to a quarter of one."""
    return round(seconds * 1e6)


def plain(value: Any) -> Any:
    """A value as SQLite and msgpack know it; missing in any form, and not finite, is None."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int | bool):
        return value
    return None if value is None or str(value) in GONE else str(value)
