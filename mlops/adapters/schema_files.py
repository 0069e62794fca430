"""Schema files: pandera's YAML form, read and written as plain documents; pandera itself only where it is needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.adapters import files

if TYPE_CHECKING:
    import pandas as pd

_HEADER = """\
# The schema of the source `{source}`: what every later table must look like; `mlops check-data` stops at others.
# Written from {rows:,} rows; it is yours now. Review it like code:
#   dtype     int64, float64, bool, str, datetime64[us]
#   nullable  false: a missing value stops; true: `metadata.missing` says how much was missing, 30 % more may be
#   in_range  wider than what was seen on purpose; tighten it where you know the limits
#   isin      only where the list of words looked complete; delete it where new ones are welcome
#   unique    a key; `metadata.increasing`: columns in which time never runs backwards
#   strict    true: a column that is not listed stops
#   metadata.scales       quantiles (10, 25, 50, 75, 90 %) of the values that are not 0; another unit shows in them
#   metadata.constraints  what holds in every row, such as "start <= end" or "net + tax == gross"; add yours
#   metadata.garbled      columns whose letters were broken already; delete a name when they are mended
# Any check that pandera knows may be added under `checks` (https://pandera.readthedocs.io).
# After a wanted change of the data: `mlops schema {source} --update`, then review the diff.
"""
_FIRST_ROWS = 5


def read(path: Path) -> dict[str, Any]:
    """The document of a schema file; FileNotFoundError, or ValueError with the line that is no YAML."""
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(str(error).replace("\n", " ")) from error
    if not isinstance(document, dict):
        raise ValueError("it is not a table of settings")  # noqa: TRY004  a file's fault, not a caller's
    return document


def lines(path: Path) -> dict[tuple[str, ...], int]:
    """The line of each value of a schema file by its path, such as `("columns", "amount", "checks", "in_range")`.

    Members of a list are named by themselves. Raises what `read` raises.
    """
    import yaml

    found: dict[tuple[str, ...], int] = {}

    def walk(node: Any, place: tuple[str, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*place, str(key.value))
                found[inner] = key.start_mark.line + 1
                walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for member in node.value:
                if isinstance(member, yaml.ScalarNode):
                    found[*place, str(member.value)] = member.start_mark.line + 1

    try:
        walk(yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader), ())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(str(error).replace("\n", " ")) from error
    return found


def text(document: Mapping[str, Any], *, source: str) -> str:
    """A document as YAML with the header that says how to review it."""
    import yaml

    rows = int((document.get("metadata") or {}).get("rows", 0))
    tidy = {key: value for key, value in document.items() if value is not None and value != {}}
    tidy["columns"] = {
        name: {key: value for key, value in column.items() if value is not None}
        for name, column in document["columns"].items()
    }
    body = yaml.safe_dump(tidy, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
    return _HEADER.format(source=source, rows=rows) + body


def write(path: Path, content: str) -> None:
    """Put the text of a schema file in place, whole or not at all."""
    files.write_atomically(path, content.encode())


def pandera_files() -> Any:
    """Pandera's reader and writer of schema files, imported so that it leaves the rest of the process as it was.

    For Spark's sake pandera tells pyarrow to pass over the offsets of datetimes, by a variable that all of this process
    and those below it would obey: 12:00+02:00 would become 12:00 in UTC. It leaves a variable alone that is there.
    """
    os.environ.setdefault("PYARROW_IGNORE_TIMEZONE", "")
    import pandera.io.pandas_io as pandera_io

    return pandera_io


def failures(document: Mapping[str, Any], frame: pd.DataFrame) -> list[tuple[str, str, int, tuple[Any, ...]]]:
    """What pandera says of `frame`: column ("" for the table), check, number of rows and the first of them.

    ValueError where pandera cannot read the document.
    """
    pandera_io = pandera_files()
    import pandera.errors

    try:
        schema = pandera_io.deserialize_schema(dict(document))
    except Exception as error:
        raise ValueError(f"pandera does not understand it: {type(error).__name__}: {error}") from error
    try:
        schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        grouped = cases.groupby([cases["column"].fillna("").astype(str), cases["check"].astype(str)], sort=True)
        return [
            (column, check, len(rows), tuple(rows["index"].dropna().astype(int).head(_FIRST_ROWS)))
            for (column, check), rows in grouped
        ]
    return []
