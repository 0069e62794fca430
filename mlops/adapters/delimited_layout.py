"""How a delimited file is built: how it is packed, its encoding, delimiter and columns, its rows by line."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlops.errors import ConfigError, GateFailed, NothingToDo

if TYPE_CHECKING:
    from mlops.config import Source

COMPRESSED = (".gz", ".bz2", ".xz", ".zip")

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a delimited file is built: its delimiter, its columns' names, the lines above the first row."""

    delimiter: str
    names: tuple[str, ...]
    above: int


def layout_of(path: Path, shown: str, source: Source) -> Layout:
    """The delimiter (given, or found out from the first lines) and the columns of a file.

    A header with one name fewer than the rows have fields, as R and pandas write an index, and an empty
    first name get the name `index`; other empty names are called `column_3` by their position.
    """
    delimiter = source.delimiter or _sniff(path, shown, source)
    with rows_of(path, shown, source, delimiter) as rows:
        above, header = next(rows, (0, []))
        following: list[str] = next((row for _, row in rows), [])
    if not header:
        raise NothingToDo(f"{shown} is empty", next_step="check that the export which writes it has run")
    names = [name.strip().lstrip("\ufeff") for name in header]
    if len(following) == len(names) + 1:
        names.insert(0, "")
    if not names[0]:
        names[0] = "index" if "index" not in names else "index_1"
    named = [name or f"column_{position}" for position, name in enumerate(names, 1)]
    twice = sorted(name for name, times in Counter(named).items() if times > 1)
    if twice:
        places = "; ".join(
            f"{name!r} is column {' and '.join(str(i) for i, n in enumerate(named, 1) if n == name)}" for name in twice
        )
        raise GateFailed(f"{shown}:{above} names columns twice: {places}", next_step="rename or drop one of each")
    return Layout(delimiter=delimiter, names=tuple(named), above=above)


def encoding_of(path: Path) -> str:
    """`utf-8-sig` where the whole file is UTF-8 (or plain ASCII), else the likely encoding."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    with open_binary(path, path.name) as file:
        while True:
            chunk = file.read(1 << 20)
            try:
                decoder.decode(chunk, not chunk)
            except UnicodeDecodeError as error:
                return likely_encoding(path, path.name, error.object)
            if not chunk:
                return "utf-8-sig"


def likely_encoding(path: Path, shown: str, around: bytes) -> str:
    """The encoding in which the bytes of a file that is not UTF-8 have a meaning."""
    with open_binary(path, shown) as file:
        head = file.read(4)
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    for encoding in ("utf-8", "cp1252"):
        try:
            around.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


@contextmanager
def open_binary(path: Path, shown: str) -> Iterator[IO[bytes]]:
    """The decompressed bytes of a file, by its ending."""
    opened: Any
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.namelist() if not m.endswith("/") and not m.startswith("__MACOSX")]
            if len(members) != 1:
                raise ConfigError(
                    f"{shown} holds {len(members)} files: {', '.join(members[:5])}",
                    next_step="keep one table in a .zip, or unpack it and give the folder as path",
                )
            with archive.open(members[0]) as opened:
                yield opened
        return
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    with openers.get(path.suffix, Path.open)(path, "rb") as opened:
        yield opened


@contextmanager
def rows_of(
    path: Path, shown: str, source: Source, delimiter: str, *, strict: bool = False
) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """Each non-empty row with the number of its last line."""
    csv.field_size_limit(1 << 30)
    with open_binary(path, shown) as file, io.TextIOWrapper(file, encoding=source.encoding, newline="") as text:
        reader = csv.reader(text, delimiter=delimiter, strict=strict)
        yield ((reader.line_num, row) for row in reader if row)


def _sniff(path: Path, shown: str, source: Source) -> str:
    """The delimiter by which the first lines have the same number of fields, the more the better."""
    with open_binary(path, shown) as file:
        head = io.TextIOWrapper(file, encoding=source.encoding, newline="").read(_SAMPLE)
    lines = head.splitlines(keepends=True)
    complete = lines[:-1] if len(lines) > 1 and len(head) == _SAMPLE else lines
    best, most = ",", (0.0, 1)
    for delimiter in _DELIMITERS:
        widths = Counter(len(row) for row in csv.reader(complete[:200], delimiter=delimiter) if row)
        width, times = widths.most_common(1)[0] if widths else (1, 0)
        score = (times / max(1, sum(widths.values())) > 0.8, width)
        if width > 1 and score > most:
            best, most = delimiter, score
    return best
