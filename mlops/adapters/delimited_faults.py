"""What is wrong with a delimited file: its line and the next step, by reading it once more, in Python."""

from __future__ import annotations

import codecs
import csv
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.adapters.delimited_layout import Layout, likely_encoding, open_binary, rows_of
from mlops.errors import ConfigError, GateFailed, OutsideError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops.config import Source

_CORRUPT = (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@contextmanager
def explained(path: Path, shown: str, source: Source) -> Iterator[None]:
    """Faults of decoding and decompressing as errors that name the file and the next step."""
    try:
        yield
    except LookupError as error:
        if "encoding" not in str(error):
            raise
        raise ConfigError(
            f"{source.encoding!r} is not an encoding", next_step='write for example encoding = "utf-8" or "cp1252"'
        ) from None
    except UnicodeError:
        _refuse_encoding(path, shown, source)
        raise
    except _CORRUPT as error:
        raise OutsideError(
            f"{shown} cannot be decompressed: {error}", next_step="fetch the file again; it is cut off or damaged"
        ) from error


def unreadable(path: Path, shown: str, source: Source, layout: Layout, error: Exception) -> GateFailed:
    """What is wrong with a file that Arrow refuses: raised where the place is found, else given."""
    _refuse_encoding(path, shown, source)
    _refuse_ragged(path, shown, source, layout)
    return GateFailed(
        f"{shown} cannot be read as a table: {str(error)[:200]}", next_step="open the file at that row and mend it"
    )


def _refuse_encoding(path: Path, shown: str, source: Source) -> None:
    """Raise GateFailed with byte, line and the likely encoding where the file cannot be decoded."""
    position, line = 0, 1
    decoder = codecs.getincrementaldecoder(source.encoding)()
    with open_binary(path, shown) as file:
        while True:
            chunk = file.read(1 << 20)
            try:
                decoder.decode(chunk, not chunk)
            except UnicodeDecodeError as error:
                at = position - (len(error.object) - len(chunk)) + error.start
                line += error.object[: error.start].count(b"\n")
                likely = likely_encoding(path, shown, error.object)
                start = error.object.rfind(b"\n", 0, error.start) + 1
                here = error.object[start : error.start + 40].split(b"\n")[0].decode(likely, "replace").strip()
                raise GateFailed(
                    f"{shown}:{line}: byte {at} (0x{error.object[error.start]:02x}) is not {source.encoding}; "
                    f"as {likely} the line reads {here!r}",
                    next_step=f'set encoding = "{likely}" for this source, or save the file as UTF-8',
                ) from None
            except UnicodeError as error:
                likely = likely_encoding(path, shown, chunk)
                raise GateFailed(
                    f"{shown}:1: byte 0 is not {source.encoding}: {error}",
                    next_step=f'set encoding = "{likely}" for this source',
                ) from None
            if not chunk:
                return
            position += len(chunk)
            line += chunk.count(b"\n")


def _refuse_ragged(path: Path, shown: str, source: Source, layout: Layout) -> None:
    """Raise GateFailed with the first row whose number of fields is not that of the header."""
    wanted = len(layout.names)
    first: tuple[int, list[str]] | None = None
    wrong = total = 0
    with rows_of(path, shown, source, layout.delimiter) as rows:
        last, _ = next(rows, (0, []))
        for line, row in rows:
            total += 1
            if len(row) != wanted:
                wrong += 1
                first = first or (last + 1, row)
            last = line
    if first is None:
        return
    line, row = first
    others = f"; {wrong} of {total:,} rows are like that" if wrong > 1 else ""
    text = layout.delimiter.join(row).replace("\n", " ")[:80]
    mend = f"quote values that contain {layout.delimiter!r}" if len(row) > wanted else "complete or drop the row"
    raise GateFailed(
        f"{shown}:{line} has {len(row)} fields, but the header names {wanted}: {text!r}{others}",
        next_step=f"{mend}, or set delimiter for this source if {layout.delimiter!r} is wrong",
    )


def refuse_open_quote(path: Path, shown: str, source: Source, layout: Layout, table: pa.Table) -> None:
    """Raise GateFailed where a quote that never ends has swallowed the rest of the file into the last row."""
    last = table.slice(max(0, table.num_rows - 1)).to_pylist()
    if not last or not any("\n" in value for value in last[0].values() if value):
        return
    begun = 0
    try:
        with rows_of(path, shown, source, layout.delimiter, strict=True) as rows:
            for line, _ in rows:
                begun = line
    except csv.Error as error:
        if "unexpected end" not in str(error):
            return
        raise GateFailed(
            f"{shown}:{begun + 1}: a quote is opened and never closed",
            next_step="close the quote, or double it if it is text",
        ) from None
