"""Stored features for rows of a file: as they are now, all of one moment, or as they were at each row's own moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.adapters.files import replacing
from mlops.errors import OutsideError
from mlops.stores.protocol import FeatureStore, Lookup
from mlops.stores.reading import FEAST


@dataclass(frozen=True, slots=True)
class History:
    """Stored features out of all of history: what was known strictly before each row's moment."""

    store: FeatureStore
    lookups: tuple[Lookup, ...]
    timestamp: str

    def read(
        self, rows: Sequence[Mapping[str, Any]], tell: Callable[[str, int, int, int], None]
    ) -> list[dict[str, Any]]:
        """The stored features of each row by short name; None where nothing was known.

        `tell` hears of each view for how many rows something was known, for how many not, and 0 as too old: history
        does not tell the two apart.
        """
        import pandas as pd

        keys = {self.timestamp, *(one.view.entity for one in self.lookups)}
        frame = pd.DataFrame({name: [row[name] for row in rows] for name in keys})
        found = self.store.point_in_time(frame, self.lookups, timestamp=self.timestamp)
        values = {
            str(name): [
                None if gone else value
                for value, gone in zip(found[name].tolist(), found[name].isna().tolist(), strict=True)
            ]
            for name in found
        }
        for one in self.lookups:
            missing = int(found[list(one.columns.values())].isna().all(axis=1).sum())
            tell(one.view.name, len(rows) - missing, missing, 0)
        return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def frozen(online: Path, copy: Path) -> Path:
    """A copy of an environment's online store as it is at one moment, so that a long read sees no publication.

    One that is there already is kept. Of Feast's only the address is at hand: it is read as it is when it is asked.
    """
    if online.name == FEAST or not online.exists() or copy.exists():
        return copy if copy.exists() else online
    try:
        with (
            replacing(copy) as temporary,
            closing(sqlite3.connect(online)) as origin,
            closing(sqlite3.connect(temporary)) as target,
        ):
            origin.backup(target)
    except sqlite3.Error as error:
        raise OutsideError(f"cannot copy {online}: {error}", next_step="free some space, then run again") from error
    return copy
