"""The local answer to "has this key been computed?": a small SQLite file beside the store.

It is asked before the ledger, because it answers in a millisecond and imports nothing heavy. A record
enters it only after its outputs are durable, so what it says is there.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import msgspec

from mlops.adapters.files import disk_errors
from mlops.verdict import Record

_TABLE = """
create table if not exists records (
    key text primary key, step text not null, subject text not null, record blob not null,
    at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""


class Index:
    """Records of steps by key; several processes and threads may use one file."""

    def __init__(self, path: Path) -> None:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._database.execute("pragma journal_mode=wal")
        self._database.execute("pragma synchronous=normal")
        self._database.execute(_TABLE)

    def find(self, key: str) -> Record | None:
        """The record of a key, or None."""
        return self._one("select record from records where key = ?", key)

    def latest(self, step: str, subject: str, *, code: str | None = None) -> Record | None:
        """The newest record of a step on a subject, made by this code where a digest is given; or None."""
        query = "select record from records where step = ? and subject = ? order by at desc, rowid desc"
        if code is None:
            return self._one(f"{query} limit 1", step, subject)
        with self._lock:
            rows = self._database.execute(query, (step, subject)).fetchall()
        records = (msgspec.json.decode(row[0], type=Record) for row in rows)
        return next((record for record in records if record.facts.get("code") == code), None)

    def add(self, record: Record) -> None:
        """Remember a record under its key; the first one stays."""
        with self._lock:
            self._database.execute(
                "insert into records (key, step, subject, record) values (?, ?, ?, ?) on conflict (key) do nothing",
                (record.key, record.step, record.subject, msgspec.json.encode(record)),
            )

    def touch(self, key: str) -> None:
        """Say that a record was used now, so that it is the latest of its step."""
        with self._lock:
            self._database.execute(
                "update records set at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') where key = ?", (key,)
            )

    def forget(self, key: str) -> None:
        """Drop a record whose outputs are gone."""
        with self._lock:
            self._database.execute("delete from records where key = ?", (key,))

    def records(self) -> list[Record]:
        """All records, oldest first."""
        with self._lock:
            rows = self._database.execute("select record from records order by rowid").fetchall()
        return [msgspec.json.decode(row[0], type=Record) for row in rows]

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _one(self, query: str, *values: str) -> Record | None:
        with self._lock:
            row = self._database.execute(query, values).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Record)
