"""Sources: a named table from outside, read into Arrow, and a cheap identity of what it would read.

A file is hashed before and after it is read, so a table never holds half of an old file and half of a new one.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from mlops.adapters import columns, delimited, delimited_layout, queried
from mlops.adapters.files import digest_file, write_atomically
from mlops.adapters.located import Located, Remote, locate
from mlops.config import Source
from mlops.errors import GateFailed, NothingToDo, OutsideError

if TYPE_CHECKING:
    import pyarrow as pa

_RACY_NS = 2_000_000_000  # a file younger than this may change again without its time moving


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file that a table was read from, and what it held then."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A source that was read: its rows, where they came from, and the files if it had any."""

    rows: pa.Table
    origin: str
    parts: tuple[Part, ...] = ()
    where: columns.Where = lambda row: f"row {row}"  # where a row stands, for messages


def read(source: Source, *, name: str, root: Path) -> Table:
    """The table of a source, typed, with its missing values and timestamps applied.

    Raises ConfigError (not there, not understood), GateFailed (its content is not a sound table),
    NothingToDo (no rows) and OutsideError (unreachable, unreadable, changed while being read).
    """
    if source.path is not None:
        table = _read_files(source, name, root)
    else:
        frame, origin = queried.query(source) if source.query else queried.call(source, name=name, root=root)
        table = Table(rows=_from_frame(frame, source, origin), origin=origin)
    if not table.rows.num_rows:
        raise NothingToDo(
            f"source {name!r} has no rows ({table.origin})" if name else f"{table.origin} has no rows",
            next_step="check the export or the query that fills it",
        )
    return table


def fingerprint(source: Source, root: Path) -> str | None:
    """A digest of what reading the source would give; None where only reading tells (SQL, functions).

    Contents count, places do not: a copied or touched file gives the same. Digests of local files are
    remembered under `.mlops` by size, time and inode, so an unchanged gigabyte costs one stat.
    """
    if source.path is None:
        return None
    settings = msgspec.structs.replace(source, path=None, schema=None, max_age="0s")
    whole = hashlib.sha256(msgspec.json.encode(settings, order="sorted"))
    with _Remembered(root / ".mlops" / "digests.json") as digests:
        for part in locate(source, root=root, name=""):
            whole.update(part.state().encode() if isinstance(part, Remote) else digests.of(part.path).encode())
            whole.update(part.form.encode())
    return whole.hexdigest()


def encoding_of(source: Source, *, root: Path) -> str:
    """The encoding of a source's files: the default where they are UTF-8, Parquet or far away, else the likely one."""
    for item in locate(source, root=root, name=""):
        if isinstance(item, Located) and item.form == "csv":
            encoding = delimited_layout.encoding_of(item.path)
            if encoding != source.encoding:
                return encoding
    return source.encoding


def _read_files(source: Source, name: str, root: Path) -> Table:
    located = locate(source, root=root, name=name)
    tables: list[pa.Table] = []
    parts: list[Part] = []
    for item in located:
        with _steady(item, root) as (path, part):
            tables.append(_read_file(path, item, source))
        parts.append(part)
    again = [item.shown for item in locate(source, root=root, name=name)]
    if again != [item.shown for item in located]:
        raise OutsideError(
            f"{source.path} changed while being read: files came or went", next_step="run again when it is still"
        )
    where = _places(located, [t.num_rows for t in tables], source)
    return Table(rows=_joined(tables, located, source, where), origin=str(source.path), parts=tuple(parts), where=where)


@contextmanager
def _steady(item: Located | Remote, root: Path) -> Iterator[tuple[Path, Part]]:
    """The local file of a part, and its digest; OutsideError where it changes before the block ends."""
    scratch = root / ".mlops" / "scratch"
    try:
        if isinstance(item, Remote):
            scratch.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                before = item.state()
                path = item.fetch(Path(folder))
                yield path, Part(name=item.name, size=path.stat().st_size, digest=digest_file(path))
                after = item.state()
        else:
            before, size = digest_file(item.path), item.path.stat().st_size
            yield item.path, Part(name=item.name, size=size, digest=before)
            after = digest_file(item.path)
    except (PermissionError, IsADirectoryError) as error:
        raise OutsideError(
            f"{item.shown} cannot be read: {error.strerror}", next_step="check its owner and rights"
        ) from error
    except FileNotFoundError as error:
        raise OutsideError(
            f"{item.shown} vanished while being read", next_step="run again when nothing writes to it"
        ) from error
    if after != before:
        raise OutsideError(f"{item.shown} changed while being read", next_step="run again when nothing writes to it")


def _read_file(path: Path, item: Located | Remote, source: Source) -> pa.Table:
    """One file's rows; columns of delimited text stay text until all files are joined."""
    if item.form == "csv":
        return delimited.read_text(path, item.shown, source)
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with path.open("rb") as file:  # a path would have `key=value` folders read as columns
            table = parquet.read_table(file)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise OutsideError(
            f"{item.shown} cannot be read as Parquet: {str(error)[:200]}",
            next_step='write the file again, or set format = "csv" for this source if it is text',
        ) from error
    twice = sorted(name for name, times in Counter(table.column_names).items() if times > 1)
    if twice:
        raise GateFailed(
            f"{item.shown} names columns twice: {', '.join(twice)}", next_step="rename or drop one of each"
        )
    return table.drop_columns([n for n in table.column_names if n.startswith("__index_level_")])


def _joined(tables: list[pa.Table], located: list[Located | Remote], source: Source, where: columns.Where) -> pa.Table:
    """All files as one table, typed over all of them; GateFailed names the file whose columns are others."""
    import pyarrow as pa

    usual = Counter(frozenset(t.column_names) for t in tables).most_common(1)[0][0]
    for table, item in zip(tables, located, strict=True):
        found = frozenset(table.column_names)
        if found != usual:
            lacks, has = sorted(usual - found), sorted(found - usual)
            told = [f"lacks {', '.join(lacks)}"] * bool(lacks) + [f"has {', '.join(has)} besides"] * bool(has)
            raise GateFailed(
                f"{item.shown} {' and '.join(told)}, unlike the other files",
                next_step="mend that file, or leave it out by the path",
            )
    names = next(t.column_names for t in tables if frozenset(t.column_names) == usual)
    text = located[0].form == "csv"
    joined: dict[str, pa.ChunkedArray] = {}
    _demand_known(source, names, str(source.path))
    for name in names:
        pieces = [table[name] for table in tables]
        if text:
            column = pa.chunked_array([chunk for piece in pieces for chunk in piece.chunks], pa.string())
            joined[name] = columns.from_text(column, name, source, where)
        else:
            joined[name] = _one_type([columns.from_typed(piece, name, source, where) for piece in pieces])
    return pa.table(joined)


def _one_type(pieces: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Typed pieces of one column under one type: float64 where some are whole numbers, else text."""
    import pyarrow as pa

    kinds = {piece.type for piece in pieces}
    if len(kinds) > 1:
        wide = pa.float64() if kinds <= {pa.int64(), pa.float64()} else pa.string()
        pieces = [piece.cast(wide) for piece in pieces]
    return pa.chunked_array([chunk for piece in pieces for chunk in piece.chunks], pieces[0].type)


def _from_frame(frame: object, source: Source, origin: str) -> pa.Table:
    """A DataFrame as a typed table; a named index becomes columns, a nameless one is left out."""
    import pandas as pd
    import pyarrow as pa

    if not isinstance(frame, pd.DataFrame):
        raise GateFailed(f"{origin} returned {type(frame).__name__}", next_step="return a pandas DataFrame")
    if any(level is not None for level in frame.index.names):
        frame = frame.reset_index()
    names = [str(name) for name in frame.columns]
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise GateFailed(f"{origin} names columns twice: {', '.join(twice)}", next_step="rename or drop one of each")
    _demand_known(source, names, origin)

    def where(row: int) -> str:
        return f"{origin}, row {row}"

    typed: dict[str, pa.ChunkedArray] = {}
    for position, name in enumerate(names):
        series = frame.iloc[:, position]
        if series.dtype == object:
            typed[name] = columns.from_objects(series, name, source, where)
        else:
            array = pa.Array.from_pandas(series)
            chunked = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
            typed[name] = columns.from_typed(chunked, name, source, where)
    return pa.table(typed)


def _demand_known(source: Source, names: list[str], origin: str) -> None:
    from mlops.errors import ConfigError, nearest

    for setting, wanted in (("timestamps", source.timestamps), ("text", source.text)):
        for name in wanted:
            if name not in names:
                raise ConfigError(
                    f"{setting} names the column {name!r}, which {origin} does not have", next_step=nearest(name, names)
                )


def _places(located: list[Located | Remote], counts: list[int], source: Source) -> columns.Where:
    """From a row of the joined table to file and line (or row of a Parquet file)."""

    def where(row: int) -> str:
        for item, count in zip(located, counts, strict=True):
            if row < count:
                if item.form == "csv" and isinstance(item, Located):
                    return f"{item.shown}:{delimited.line_of(item.path, source, row)}"
                return f"{item.shown}, row {row}"
            row -= count
        return f"row {row}"

    return where


class _Remembered:
    """Digests of files by their size, time and inode, kept in a small JSON file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, tuple[list[int], str]] = {}
        self._new: dict[str, tuple[list[int], str]] = {}

    def __enter__(self) -> Self:
        try:
            self._known = msgspec.json.decode(self._file.read_bytes(), type=dict[str, tuple[list[int], str]])
        except (OSError, msgspec.DecodeError):
            self._known = {}  # a cache that cannot be read is computed anew
        return self

    def __exit__(self, *_: object) -> None:
        if self._new:
            write_atomically(self._file, msgspec.json.encode(self._known | self._new))

    def of(self, path: Path) -> str:
        """The sha256 of a file's content."""
        try:
            stat = path.stat()
            state = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
            known = self._known.get(str(path))
            if known is not None and known[0] == state:
                return known[1]
            digest = digest_file(path)
        except OSError as error:
            raise OutsideError(
                f"{path} cannot be read: {error.strerror}", next_step="check its owner and rights"
            ) from error
        if time.time_ns() - stat.st_mtime_ns > _RACY_NS:
            self._new[str(path)] = (state, digest)
        return digest
