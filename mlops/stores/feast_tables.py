"""Histories as Feast takes them: the file that it joins, the file that its registry names, the rows that go online.

In the file for the join the columns go by position (`v0`, `v1`…): Feast drops or refuses some names. Its rows lie at
the time from which they count (`joins.available`), each once and without those that never count: Feast would let rows
in that were not known yet, and its choice between rows of one time is not stable.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.adapters.feast import Described
from mlops.adapters.files import digest_bytes
from mlops.declare import FeatureView
from mlops.errors import DeclarationError
from mlops.stores import history, joins
from mlops.stores.joins import NOTHING, SOURCE, is_number, quoted
from mlops.stores.reading import Kind

if TYPE_CHECKING:
    import pandas as pd

    from mlops.adapters.objects import ObjectStore

HAPPENED = "happened"
_AVAILABLE = "available"
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")


@dataclass(frozen=True)
class History:
    """One written history of a view; files that Feast needs beside it are made below `folder`, once for its content."""

    view: FeatureView
    written: str
    objects: ObjectStore
    folder: Path

    @property
    def files(self) -> list[str]:
        """The verified files of the history."""
        return [str(file) for file in history.parts(self.objects, self.written)]

    def kinds(self) -> dict[str, str]:
        """Each stored column and its type in DuckDB's words."""
        with history.duck() as connection:
            return history.columns(connection, self.files)

    def joinable(self) -> tuple[Described, dict[str, str]]:
        """The history for Feast's join, and where each column is in it."""
        kinds, view = self.kinds(), self.view
        names = [name for name in kinds if name not in view.keys]
        places = {name: f"v{place}" for place, name in enumerate(names)}
        stored = "".join(f", {_number(name, kinds[name])} AS {places[name]}" for name in names)
        rows = joins.available(view, stored)
        # With its zone: where nothing matches, Feast's file store compares times without one.
        query = f"SELECT * REPLACE (make_timestamptz(available) AS available) FROM ({rows})"  # noqa: S608 - quoted names
        described = Described(
            name=view.name,
            entity="key",
            entity_kind=entity_kind(view, kinds[view.entity]),
            timestamp=_AVAILABLE,
            columns={HAPPENED: "int", **{places[name]: kind_of(kinds[name]) for name in names}},
            path=str(self._copied("join", query)),
        )
        return described, places

    def whole(self) -> str:
        """The history under its own names, in one file."""
        files = self.files
        return files[0] if len(files) == 1 else str(self._copied("whole", f"SELECT * FROM {SOURCE}"))  # noqa: S608 - fixed words

    def newest(self, moment: float) -> pd.DataFrame:
        """Each entity's row that counts at `moment`, under its own names, as Feast takes it."""
        view, kinds = self.view, self.kinds()
        names = [name for name in kinds if name not in view.keys]
        columns = [
            f"key AS {quoted(view.entity)}",
            f"make_timestamp(happened) AS {quoted(view.timestamp)}",
            *([f"make_timestamp(known) AS {quoted(view.created)}"] if view.created else []),
            *(f"{_online(place, kinds[name])} AS {quoted(name)}" for place, name in enumerate(names)),
        ]
        query = f"SELECT {', '.join(columns)} FROM ({joins.newest(view, names, joins.microseconds(moment))})"  # noqa: S608 - quoted names
        with history.duck() as connection:
            table = connection.sql(query, params=[self.files]).to_arrow_table()
        rows: pd.DataFrame = table.to_pandas(integer_object_nulls=True)
        return rows

    def entities(self) -> set[int | str]:
        """All entities of the history."""
        key = quoted(self.view.entity)
        query = f"SELECT DISTINCT {key} FROM {SOURCE} WHERE {key} IS NOT NULL"  # noqa: S608 - quoted names
        with history.duck() as connection:
            return {row[0] for row in connection.execute(query, [self.files]).fetchall()}

    def _copied(self, form: str, query: str) -> Path:
        """The result of a query over the history as one Parquet file."""
        keys = digest_bytes("\n".join([form, *self.view.keys]).encode())[:12]
        file = self.folder / f"{self.written}-{keys}.parquet"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".") as scratch, history.duck() as connection:
                made = Path(scratch) / file.name
                target = str(made).replace("'", "''")
                connection.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet)", [self.files])
                made.replace(file)
        return file


def kind_of(duckdb_type: str) -> Kind:
    """A column's kind in Feast; what is neither number nor text goes as text."""
    if duckdb_type == "BOOLEAN":
        return "bool"
    if duckdb_type in _WHOLE:
        return "int"
    return "float" if is_number(duckdb_type) or duckdb_type == NOTHING else "string"


def entity_kind(view: FeatureView, duckdb_type: str) -> Kind:
    """The kind of a view's key; DeclarationError where Feast knows no such key."""
    if duckdb_type == "VARCHAR":
        return "string"
    if duckdb_type == NOTHING or duckdb_type in _WHOLE:
        return "int"
    raise DeclarationError(
        f"{view.origin}: {view.entity} is {duckdb_type.lower()} in {view.name}; Feast's keys are whole numbers or text",
        next_step=f"return {view.entity} as one of them",
    )


def columns_of(view: FeatureView, kinds: Mapping[str, str]) -> dict[str, Kind]:
    """A view's features and their kinds in Feast."""
    return {name: kind_of(kind) for name, kind in kinds.items() if name not in view.keys}


def _number(name: str, duckdb_type: str) -> str:
    number = is_number(duckdb_type) or duckdb_type == NOTHING
    return f"CAST({quoted(name)} AS DOUBLE)" if number else quoted(name)


def _online(place: int, duckdb_type: str) -> str:
    kind = kind_of(duckdb_type)
    if kind == "float":
        return f"CASE WHEN isfinite(CAST(v{place} AS DOUBLE)) THEN CAST(v{place} AS DOUBLE) END"
    return f"CAST(v{place} AS VARCHAR)" if kind == "string" else f"v{place}"
