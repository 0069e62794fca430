"""A table too large for memory: read in batches of one size, and answers written part by part, then joined to one file.

A part is whole or not there, and the same rows give the same bytes: so work that was killed goes on where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from mlops.adapters import delimited, delimited_layout
from mlops.adapters.files import digest_file, disk_errors, replacing
from mlops.config import Source
from mlops.errors import GateFailed, OutsideError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

Form = Literal["csv", "parquet"]

FORMS: dict[str, Form] = {".csv": "csv", ".parquet": "parquet"}
"""How answers are written, by the file's ending."""

_MARK = b"PAR1"
_INDEX = "__index_level_"
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A file of rows: where it lies, what people call it, how its text is read, and its columns."""

    path: Path
    shown: str
    form: Form
    source: Source
    names: tuple[str, ...]
    digest: str
    state: tuple[int, int, int]  # of the file when its digest was taken

    @property
    def steady(self) -> bool:
        """Whether the file is still the one whose digest was taken."""
        return _state(self.path) == self.state


def opened(path: Path, shown: str, source: Source) -> Input:
    """A file and its columns: Parquet by its first bytes, else delimited text; OutsideError where it cannot be read."""
    with disk_errors(path):
        if not path.is_file():
            raise UsageError(
                f"there is no file {shown}", next_step="give a CSV or Parquet file, or - for standard input"
            )
        state, digest = _state(path), digest_file(path)
        with path.open("rb") as file:
            form: Form = "parquet" if file.read(len(_MARK)) == _MARK else "csv"
    names = _parquet_names(path, shown) if form == "parquet" else delimited_layout.layout_of(path, shown, source).names
    return Input(path=path, shown=shown, form=form, source=source, names=names, digest=digest, state=state)


def spooled(stream: IO[bytes], path: Path) -> None:
    """Keep all that a stream brings in the file `path`, in little memory."""
    with disk_errors(path), path.open("wb") as file:
        while piece := stream.read(_PIECE):
            file.write(piece)


def batches(given: Input, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
    """The columns, `rows` rows at a time, the last batch with what is left; those of delimited text are text."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    held = 0
    for piece in _pieces(given, columns, rows):
        waiting.append(piece)
        held += len(piece)
        while held >= rows:
            table = pa.concat_tables(waiting)
            yield table.slice(0, rows)
            waiting, held = [table.slice(rows)], held - rows
    if held:
        yield pa.concat_tables(waiting)


def lines(given: Input, rows: Sequence[int]) -> dict[int, int]:
    """The line of each of these rows in delimited text; nothing for Parquet, which has none."""
    return delimited.lines_of(given.path, given.source, set(rows)) if given.form == "csv" else {}


def write_part(path: Path, table: pa.Table) -> None:
    """Put a part in place, durably and as a whole."""
    from pyarrow import parquet

    with replacing(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd")


@contextmanager
def joined(path: Path, parts: Sequence[Path], schema: pa.Schema, *, mark: str) -> Iterator[None]:
    """Write the rows of all parts to `path` as its ending says; it appears when the block ends well.

    `mark` names the run, so that a killed one's temporary file is the next one's.
    """
    from pyarrow import parquet

    with replacing(path, mark=mark) as temporary:
        with _writer(temporary, FORMS[path.suffix], schema) as writer:
            for part in parts:
                writer.write_table(parquet.read_table(part, schema=schema))
        yield


def _writer(path: Path, form: Form, schema: pa.Schema) -> Any:
    from pyarrow import csv, parquet

    if form == "parquet":
        return parquet.ParquetWriter(path, schema, compression="zstd")
    return csv.CSVWriter(path, schema, write_options=csv.WriteOptions(quoting_style="needed"))


def _pieces(given: Input, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
    if given.form == "csv":
        for table in delimited.stream_text(given.path, given.shown, given.source):
            yield table.select(columns)
        return
    import pyarrow as pa
    from pyarrow import parquet

    with _readable(given.shown), parquet.ParquetFile(given.path, pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=rows, columns=list(columns)):
            yield pa.Table.from_batches([batch]).select(columns)


def _parquet_names(path: Path, shown: str) -> tuple[str, ...]:
    from pyarrow import parquet

    with _readable(shown):
        names = parquet.read_schema(path).names
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise GateFailed(f"{shown} names columns twice: {', '.join(twice)}", next_step="rename or drop one of each")
    return tuple(name for name in names if not name.startswith(_INDEX))


@contextmanager
def _readable(shown: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise OutsideError(
            f"{shown} cannot be read as Parquet: {str(error)[:200]}", next_step="write the file again"
        ) from error


def _state(path: Path) -> tuple[int, int, int]:
    told = path.stat()
    return told.st_size, told.st_mtime_ns, told.st_ino
