"""People's corrections of labels: how a row is named so that it is found again, and how a file is applied to a source.

A row is named by its key where the source's schema has one (`id=17`), else by a digest of all that it holds besides
the label. Neither changes when other rows come or go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import numpy as np
from numpy.typing import NDArray

from mlops.adapters.review_file import Entry
from mlops.errors import ConfigError, nearest
from mlops.statistics.kinds import inferred_task, plain_labels
from mlops.statistics.split import contents

if TYPE_CHECKING:
    import pandas as pd

REVIEWED = "reviewed"
"""The output of `assemble` that lists the rows whose labels people have looked at."""

_DIGEST = "content:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """A source's labels after review; the positions that people looked at, and how many labels they changed."""

    labels: pd.Series
    rows: tuple[int, ...] = ()
    corrected: int = 0
    confirmed: int = 0


def names_of(source: pd.DataFrame, positions: Sequence[int], *, label: str, key: str | None) -> list[str]:
    """The names of the rows at these positions: by `key` where it is one, else by content."""
    if key is not None and key != label and source[key].is_unique:
        return [urlencode({key: str(source[key].iloc[row])}) for row in positions]
    digests = contents(source, _besides(source, label))
    return [f"{_DIGEST}{digests[row]:016x}" for row in positions]


def text_of_label(value: Any) -> str:
    """A label as it stands in the file."""
    return str(value.item() if hasattr(value, "item") else value)


def apply(entries: Sequence[Entry], source: pd.DataFrame, *, label: str, task: str | None, file: str) -> Reviewed:
    """The labels of `source` with what people wrote; ConfigError names the line that cannot be applied, and why.

    Equal rows with equal labels cannot be told apart, and are corrected together. An entry that repeats the label
    says that it is right: it changes nothing, and the row is no longer doubted.
    """
    _refuse_twice(entries, file)
    judged = [entry for entry in entries if entry.corrected]
    labels = source[label].copy()
    if not judged:
        return Reviewed(labels=labels)
    known = _plain(labels)
    values = _Values(known, task, file)
    found = _found(judged, source, label, file)
    rows: list[int] = []
    corrected = confirmed = 0
    for entry in judged:
        old, new = values.read(entry, entry.label), values.read(entry, entry.corrected)
        mine = [row for row in found[entry.row] if known[row] == old]
        if not mine:
            raise _changed(entry, known[found[entry.row][0]], file)
        rows += mine
        if new == old:
            confirmed += len(mine)
            continue
        corrected += len(mine)
        if isinstance(new, float) and labels.dtype.kind in "iu":
            labels = labels.astype("float64")
        labels.iloc[mine] = new
    return Reviewed(labels=labels, rows=tuple(sorted(rows)), corrected=corrected, confirmed=confirmed)


class _Values:
    """Reads labels out of a file: one of the classes that there are, or a number for a regression."""

    def __init__(self, known: NDArray[Any], task: str | None, file: str) -> None:
        import pandas as pd

        present = pd.Series([value for value in known if value is not None])
        plain = plain_labels(present)
        self.numeric = (task or inferred_task(plain)[0]) == "regression"
        self.classes = {} if self.numeric else {text_of_label(value): value for value in plain.unique().tolist()}
        self.file = file

    def read(self, entry: Entry, text: str) -> Any:
        """The value that a text stands for."""
        if not self.numeric:
            if text in self.classes:
                return self.classes[text]
            raise ConfigError(
                f"{self.file}:{entry.line}: {text!r} is not a label of {', '.join(sorted(self.classes)[:20])}",
                next_step=nearest(text, self.classes) + ", or leave `corrected` empty",
            )
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
        raise ConfigError(
            f"{self.file}:{entry.line}: {text!r} is not a number", next_step="write one, or leave `corrected` empty"
        )


def _plain(labels: pd.Series) -> NDArray[Any]:
    """Each label as a plain value, None where there is none."""
    known = labels.notna().to_numpy()
    result = np.full(len(labels), None, dtype=object)
    if known.any():
        result[known] = np.array(plain_labels(labels[known]).tolist(), dtype=object)
    return result


def _found(entries: Sequence[Entry], source: pd.DataFrame, label: str, file: str) -> Mapping[str, list[int]]:
    """The positions of each entry's row, in the source."""
    found: dict[str, list[int]] = {}
    digests = None
    for entry in entries:
        if entry.row.startswith(_DIGEST):
            digests = contents(source, _besides(source, label)) if digests is None else digests
            rows = np.flatnonzero(digests == _number(entry, file))
        else:
            rows = _by_key(entry, source, file)
        if not rows.size:
            raise ConfigError(
                f"{file}:{entry.line}: the source has no row {entry.row}",
                next_step="delete the line: the row is gone, or something besides its label has changed",
            )
        found[entry.row] = rows.tolist()
    return found


def _by_key(entry: Entry, source: pd.DataFrame, file: str) -> NDArray[np.intp]:
    pairs = parse_qsl(entry.row, keep_blank_values=True)
    if len(pairs) != 1 or pairs[0][0] not in source:
        raise _no_name(entry, file)
    name, value = pairs[0]
    return np.flatnonzero((source[name].astype(str) == value).to_numpy())


def _number(entry: Entry, file: str) -> np.uint64:
    try:
        return np.uint64(int(entry.row.removeprefix(_DIGEST), 16))
    except (ValueError, OverflowError):
        raise _no_name(entry, file) from None


def _no_name(entry: Entry, file: str) -> ConfigError:
    step = "leave the column `row` as `mlops review` wrote it, or delete the line"
    return ConfigError(f"{file}:{entry.line}: {entry.row!r} does not name a row", next_step=step)


def _refuse_twice(entries: Sequence[Entry], file: str) -> None:
    seen: dict[tuple[str, str], int] = {}
    for entry in entries:
        before = seen.setdefault((entry.row, entry.label), entry.line)
        if before != entry.line:
            raise ConfigError(
                f"{file}:{entry.line}: the row {entry.row} stands on line {before} already",
                next_step="delete one of the two lines",
            )


def _changed(entry: Entry, now: Any, file: str) -> ConfigError:
    said = "has none now" if now is None else f"is {text_of_label(now)} now"
    return ConfigError(
        f"{file}:{entry.line}: the label of {entry.row} was {entry.label} when it was reviewed, and {said}",
        next_step="delete the line if the source has been mended; else look at the row again",
    )


def _besides(source: pd.DataFrame, label: str) -> list[str]:
    return sorted(name for name in source.columns if name != label)
