"""Which parts are computed already, and by which grid a view is cut: a small SQLite file beside the index.

A part enters it only after its content is durable in the object store, so whatever is killed, what it says is there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import cast

from mlops.adapters.database import database_errors
from mlops.adapters.files import disk_errors
from mlops.parts.grid import Grid, Period

_TABLES = """
CREATE TABLE IF NOT EXISTS parts (key TEXT PRIMARY KEY, view TEXT NOT NULL, content TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS grids (
    view TEXT PRIMARY KEY, buckets INTEGER NOT NULL, period TEXT NOT NULL
) WITHOUT ROWID;
"""
_AT_ONCE = 500


class Known:
    """Parts by key; several processes and threads may use one file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def contents(self, keys: Iterable[str]) -> dict[str, str]:
        """What is known of these keys: the name of a part's content, "" where it has no rows."""
        wanted = list(keys)
        found: dict[str, str] = {}
        with database_errors(self.file), closing(self._opened()) as database:
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                places = ",".join("?" * len(some))
                query = f"SELECT key, content FROM parts WHERE key IN ({places})"  # noqa: S608 - question marks
                found.update(database.execute(query, some).fetchall())
        return found

    def add(self, view: str, contents: dict[str, str]) -> None:
        """Remember parts, all or none."""
        self.take([(key, view, content) for key, content in contents.items()])

    def take(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Remember parts of any views, given as `everything` gives them; all or none."""
        with database_errors(self.file), closing(self._opened()) as database, database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", rows)

    def forget(self, view: str) -> None:
        """Forget the parts of a view; what they hold stays in the store."""
        with database_errors(self.file), closing(self._opened()) as database:
            database.execute("DELETE FROM parts WHERE view = ?", (view,))

    def everything(self) -> list[tuple[str, str, str]]:
        """Each part's key, view and content."""
        with database_errors(self.file), closing(self._opened()) as database:
            return database.execute("SELECT key, view, content FROM parts ORDER BY key").fetchall()

    def grid(self, view: str) -> Grid | None:
        """How a view was cut the last time."""
        with database_errors(self.file), closing(self._opened()) as database:
            row = database.execute("SELECT buckets, period FROM grids WHERE view = ?", (view,)).fetchone()
        return None if row is None else Grid(buckets=row[0], period=cast("Period", row[1]))

    def cut(self, view: str, grid: Grid) -> None:
        """Remember how a view is cut."""
        with database_errors(self.file), closing(self._opened()) as database, database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT OR REPLACE INTO grids VALUES (?, ?, ?)", (view, grid.buckets, grid.period))

    def _opened(self) -> sqlite3.Connection:
        with disk_errors(self.file), database_errors(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self.file, timeout=30, isolation_level=None)
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_TABLES)
        return database
