"""Rows in order of time, cut into windows that end with the newest row: what is judged, and what was before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def windows(times: NDArray[np.int64] | None, rows: int, *, span: int, least: int, most: int) -> tuple[slice, ...]:
    """Positions of up to `most` windows over `rows` rows, oldest window first; none overlap, the last ends the rows.

    `times` are sorted, in the unit of `span`; without a `span` only rows are counted. A window reaches back by `span`,
    and further until it holds `least` rows. Without `times` nothing tells an order, so all rows are one window.
    An earlier window with fewer than `least` rows is left out; the newest may have fewer.
    """
    if not rows:
        return ()
    if times is None:
        return (slice(0, rows),)
    found: list[slice] = []
    stop = rows
    while stop > 0 and len(found) < most:
        reach = int(np.searchsorted(times, times[stop - 1] - span, side="right")) if span else stop
        start = max(0, min(reach, stop - least))
        if found and stop - start < least:
            break
        found.append(slice(start, stop))
        stop = start
    return tuple(reversed(found))
