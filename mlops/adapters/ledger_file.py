"""The embedded ledger as files: a copy that can travel, and its place on another machine.

MLflow keeps absolute places of artifacts in its database, so they are written anew where the ledger arrives.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from mlops.adapters import files
from mlops.adapters.lock import locked
from mlops.errors import OutsideError

DATABASE, ARTIFACTS = "mlflow.db", "artifacts"
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def is_there(home: Path) -> bool:
    """Whether this machine has a ledger of its own."""
    return (home / DATABASE).exists()


def copied(home: Path, folder: Path) -> dict[str, Path]:
    """The ledger's files by name: the database as it was at one moment, copied into `folder`, and the artifacts."""
    copy = snapshot(home / DATABASE, folder / DATABASE)
    below = home / ARTIFACTS
    artifacts = (path for path in sorted(below.rglob("*")) if path.is_file())
    return {DATABASE: copy, **{path.relative_to(home).as_posix(): path for path in artifacts}}


def snapshot(database: Path, copy: Path) -> Path:
    """A copy of an SQLite file as it was at one moment, whoever writes to it."""
    with files.disk_errors(copy), closing(sqlite3.connect(database)) as ours, closing(sqlite3.connect(copy)) as other:
        ours.backup(other)
    return copy


def place(home: Path, project: str, members: Mapping[str, Path]) -> None:
    """Put a ledger where there is none yet: its artifacts first, then the database, whole or not at all."""
    with locked(home / ".ledger.lock", "the ledger is being written"):
        if is_there(home):
            raise OutsideError("the ledger appeared meanwhile", next_step="import the file again")
        for name, path in members.items():
            if name != DATABASE:
                with files.replacing(home / name) as temporary:
                    files.copy_chunks(path, temporary)
        with files.replacing(home / DATABASE) as temporary:
            files.copy_chunks(members[DATABASE], temporary)
            _relocate(temporary, project, (home / ARTIFACTS).as_uri())


def _relocate(database: Path, project: str, place: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        found = connection.execute("select artifact_location from experiments where name = ?", (project,)).fetchone()
        if found is None:
            return
        old = str(found[0])
        for table, column in _PLACES:
            connection.execute(
                f"update {table} set {column} = ? || substr({column}, ?) where substr({column}, 1, ?) = ?",  # noqa: S608
                (place, len(old) + 1, len(old), old),
            )
