"""The file in which people review labels: a CSV that a pull request shows line by line.

The first five columns are ours; the rest are the inputs that a person needs to judge, and are not read back.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops.adapters.files import write_atomically
from mlops.errors import ConfigError

COLUMNS = ("row", "label", "suggested", "confidence", "corrected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One reviewed or doubted row; `corrected` is "" until a person has judged it. `line` is 0 for a new one."""

    row: str
    label: str
    suggested: str
    confidence: str
    corrected: str = ""
    inputs: tuple[str, ...] = ()
    line: int = 0


def read(path: Path, name: str) -> tuple[Entry, ...]:
    """The entries with their line numbers; nothing where there is no file. ConfigError for what is no review file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is not UTF-8: {error}", next_step="save it as UTF-8") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = tuple(next(lines, ()))
        if header[: len(COLUMNS)] != COLUMNS:
            raise ConfigError(
                f"{name}:1: the columns begin with {', '.join(header[:5]) or 'nothing'}",
                next_step=f"they must begin with {','.join(COLUMNS)}; some spreadsheets save another delimiter",
            )
        entries = [_entry(cells, lines.line_num, name) for cells in lines if any(cells)]
    except csv.Error as error:
        raise ConfigError(f"{name}:{lines.line_num}: {error}", next_step="mend that line") from None
    return tuple(entries)


def text_of(entries: Iterable[Entry], inputs: Sequence[str]) -> str:
    """The file's content; `inputs` are the names of the further columns."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*COLUMNS, *inputs])
    for one in entries:
        writer.writerow([one.row, one.label, one.suggested, one.confidence, one.corrected, *one.inputs])
    return buffer.getvalue()


def write(path: Path, content: str) -> None:
    """Write the file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.encode())


def _entry(cells: list[str], line: int, name: str) -> Entry:
    if len(cells) < len(COLUMNS):
        raise ConfigError(
            f"{name}:{line}: it has {len(cells)} cells, and needs {len(COLUMNS)} at least",
            next_step=f"mend the line: {','.join(COLUMNS)}",
        )
    row, label, suggested, confidence, corrected = (cell.strip() for cell in cells[: len(COLUMNS)])
    return Entry(
        row=row,
        label=label,
        suggested=suggested,
        confidence=confidence,
        corrected=corrected,
        inputs=tuple(cells[len(COLUMNS) :]),
        line=line,
    )
