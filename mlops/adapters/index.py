"""The local answer to "has this key been computed?": a small SQLite file beside the store.

It is asked before the ledger, because it answers in a millisecond and imports nothing heavy. A record
enters it only after its outputs are durable, so what it says is there. What a fork's run computed is kept, but
for another fork's run alone: nobody else is told of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from mlops.adapters import trust
from mlops.adapters.database import Turns
from mlops.adapters.files import disk_errors
from mlops.verdict import Record

_TABLE = """
create table if not exists records (
    key text primary key, step text not null, subject text not null, record blob not null,
    at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    ingredients blob not null default '{}', fork text not null default ''
)
"""
_SORTED = (
    "create index if not exists newest on records (at)",
    "create index if not exists newest_of_each on records (step, subject, at)",
)
"""So that no question takes longer the more records there are: a run asks for each of its steps, and touches it."""
_NEXT = """
create temp view next as select strftime('%Y-%m-%dT%H:%M:%fZ',
    max(julianday('now'), coalesce((select julianday(max(at)) from main.records), 0) + 1.2e-8)) as at
"""
"""Now, and a millisecond after all that is there: a clock that was set back makes nothing old of what is new."""
_LATER = {"ingredients": "blob not null default '{}'", "fork": "text not null default ''"}
"""Columns that files written by an earlier version lack."""
_ALL = "create temp view usable as select rowid as place, * from records"
_TRUSTED = f"{_ALL} where fork = ''"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record with what its key was made of, and the fork whose run computed it ("": a trusted run)."""

    record: Record
    ingredients: Mapping[str, Any] = field(default_factory=dict)
    fork: str = ""


class Index:
    """Records of steps by key; several processes and threads may use one file."""

    def __init__(self, path: Path, *, fork: str | None = None) -> None:
        """Open the file; `fork` says whose run this is, as GitHub's event does unless it is given."""
        self.fork = trust.fork() if fork is None else fork
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = Turns(path)
        with self._lock:
            self._database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._database.execute("pragma journal_mode=wal")
            self._database.execute("pragma synchronous=normal")
            self._database.execute(_TABLE)
            self._widen()
            for index in _SORTED:
                self._database.execute(index)
            self._database.execute(_ALL if self.fork else _TRUSTED)
            self._database.execute(_NEXT)

    def find(self, key: str) -> Record | None:
        """The record of a key, or None."""
        return self._one("select record from usable where key = ?", key)

    def knows(self, keys: Iterable[str]) -> bool:
        """Whether every one of these keys is known."""
        query = "select 1 from usable where key = ?"
        with self._lock:
            return all(self._database.execute(query, (key,)).fetchone() for key in keys)

    def latest(self, step: str, subject: str, *, code: str | None = None) -> Record | None:
        """The newest record of a step on a subject, made by this code where a digest is given; or None."""
        query = "select record from usable where step = ? and subject = ? order by at desc, place desc"
        if code is None:
            return self._one(query, step, subject)
        with self._lock:
            rows = self._database.execute(query, (step, subject)).fetchall()
        records = (msgspec.json.decode(row[0], type=Record) for row in rows)
        return next((record for record in records if record.facts.get("code") == code), None)

    def add(self, record: Record, ingredients: Mapping[str, Any] | None = None) -> None:
        """Remember what was computed here under its key; the first one stays, unless a fork's run made it."""
        self.take([Entry(record=record, ingredients=ingredients or {}, fork=self.fork)])

    def take(self, entries: Iterable[Entry]) -> int:
        """Remember entries, all or none; gives how many were new here."""
        rows = [
            (e.record.key, e.record.step, e.record.subject, _encoded(e.record), _encoded(e.ingredients), e.fork)
            for e in entries
        ]
        with self._lock, self._database:
            before = self._database.total_changes
            self._database.execute("begin immediate")
            self._database.executemany(
                "insert into records (key, step, subject, record, ingredients, fork, at) "
                "values (?, ?, ?, ?, ?, ?, (select at from next)) "
                "on conflict (key) do update set record = excluded.record, ingredients = excluded.ingredients, "
                "fork = '' where records.fork != '' and excluded.fork = ''",
                rows,
            )
            return self._database.total_changes - before

    def touch(self, key: str) -> None:
        """Say that a record was used now, so that it is the latest of its step."""
        with self._lock:
            self._database.execute("update records set at = (select at from next) where key = ?", (key,))

    def forget(self, key: str) -> None:
        """Drop a record whose outputs are gone."""
        with self._lock:
            self._database.execute("delete from records where key = ?", (key,))

    def records(self) -> list[Record]:
        """All records, oldest first."""
        return [entry.record for entry in self.entries()]

    def entries(self) -> list[Entry]:
        """All that this run may use, oldest first."""
        query = "select record, ingredients, fork from usable order by place"
        with self._lock:
            rows = self._database.execute(query).fetchall()
        return [_entry(*row) for row in rows]

    def entry(self, key: str) -> Entry | None:
        """The entry of a key, or None."""
        query = "select record, ingredients, fork from usable where key = ?"
        with self._lock:
            row = self._database.execute(query, (key,)).fetchone()
        return None if row is None else _entry(*row)

    def last(self, step: str, subject: str) -> Entry | None:
        """The newest entry of a step on a subject, or None."""
        record = self.latest(step, subject)
        return None if record is None else self.entry(record.key)

    def used(self) -> list[tuple[Entry, float]]:
        """All that is here, a fork's too, each with the moment at which it was computed or last used, oldest first."""
        query = "select record, ingredients, fork, at from records order by at"
        with self._lock:
            rows = self._database.execute(query).fetchall()
        return [(_entry(*row[:3]), datetime.fromisoformat(row[3]).timestamp()) for row in rows]

    def forget_all(self, keys: Iterable[str]) -> None:
        """Drop records, all or none."""
        with self._lock, self._database:
            self._database.execute("begin immediate")
            self._database.executemany("delete from records where key = ?", [(key,) for key in keys])

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _one(self, query: str, *values: str) -> Record | None:
        with self._lock:
            row = self._database.execute(query, values).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Record)

    def _widen(self) -> None:
        known = {row[1] for row in self._database.execute("pragma table_info(records)")}
        for name in _LATER.keys() - known:
            try:
                self._database.execute(f"alter table records add column {name} {_LATER[name]}")
            except sqlite3.OperationalError as error:  # another process was quicker
                if "duplicate column" not in str(error):
                    raise


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic", enc_hook=str)


def _entry(record: bytes, ingredients: bytes, fork: str) -> Entry:
    return Entry(
        record=msgspec.json.decode(record, type=Record), ingredients=msgspec.json.decode(ingredients), fork=fork
    )
