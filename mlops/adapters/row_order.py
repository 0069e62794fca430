"""Whether time runs backwards down a column that comes in pieces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def backwards(pieces: Iterable[pa.Array], *, most: int) -> tuple[int, list[tuple[int, str]]]:
    """How many times are before the one above them, missing ones left out; position and value of the first `most`."""
    from pyarrow import compute

    count, start, last = 0, 0, None
    found: list[tuple[int, str]] = []
    for piece in pieces:
        where = np.flatnonzero(piece.is_valid().to_numpy(zero_copy_only=False))
        present = compute.drop_null(piece)
        times = present.cast("timestamp[us]", safe=False).cast("int64").to_numpy()
        above = np.concatenate([times[:1] if last is None else [last], times[:-1]])
        back = np.flatnonzero(times < above[: times.size])
        count += back.size
        found += [(start + int(where[k]), str(present[int(k)])) for k in back[: most - len(found)]]
        start, last = start + len(piece), times[-1] if times.size else last
    return count, found
