"""How a source is cut up: which parts there are, what each one reads, and which are computed in one call.

All of it is arithmetic on *cells*: for each entity bucket and day of the source, how many rows there are and a digest
of them. A part reads whole days, so the cells that it reads name exactly its rows.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from itertools import accumulate
from typing import Literal

Period = Literal["", "day", "week", "month"]

PERIODS: tuple[Period, ...] = ("day", "week", "month")
_DAYS: Mapping[Period, float] = {"day": 1.0, "week": 7.0, "month": 30.4}
_EPOCH = date(1970, 1, 1)
_MONDAY = 4  # 1970-01-01 was a Thursday: the first Monday after it is day 4
_FINEST = 32
"""A part holds at least one such part of a call's rows, as long as there is a longer period: files have a price."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The rows of one bucket and day: how many, and a digest that no order of them changes."""

    rows: int
    digest: str


Cells = Mapping[tuple[int, int | None], Cell]
"""By bucket and day since 1970; the day is None for rows without a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Entity buckets by periods; without a period a part holds all time."""

    buckets: int = 1
    period: Period = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Feature rows of a bucket from the day `start` until before `end`; None: without limit."""

    bucket: int
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What a part reads: the source rows of its bucket from `since` until before its end."""

    part: Part
    since: int | None
    rows: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Parts of one bucket, next to each other in time, that one call of the function gives."""

    parts: tuple[Part, ...]
    since: int | None
    rows: int

    @property
    def bucket(self) -> int:
        """The bucket of its parts."""
        return self.parts[0].bucket

    @property
    def until(self) -> int | None:
        """The end of its last part."""
        return self.parts[-1].end


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How large a source is: rows, and days from the first to the last; None without times."""

    rows: int
    first: int | None = None
    last: int | None = None

    @property
    def days(self) -> int:
        """From the first day to the last, both included."""
        return 1 if self.first is None or self.last is None else self.last - self.first + 1


def look_back(window: timedelta) -> int:
    """A window in days, begun ones whole: a part starts at midnight."""
    return math.ceil(window / timedelta(days=1))


def choose(extent: Extent, *, most: int, entity: bool, window: timedelta | None, known: Grid | None = None) -> Grid:
    """The grid for a source, with calls of about `most` rows; the `known` one while it still fits.

    `entity`: it may be cut by entity. `window`: how far rows look back, where it may be cut by time.
    A grid that changes computes everything anew, so it changes only with a source that has grown fourfold.
    """
    fresh = _fresh(extent, most, entity=entity, window=window)
    if known is None or (known.period == "") != (fresh.period == "") or (known.buckets > 1 and not entity):
        return fresh
    near = fresh.buckets / 2 <= known.buckets <= fresh.buckets * 2
    beside = not fresh.period or abs(PERIODS.index(fresh.period) - PERIODS.index(known.period)) <= 1
    return known if near and beside else fresh


def _fresh(extent: Extent, most: int, *, entity: bool, window: timedelta | None) -> Grid:
    if extent.rows <= most:
        return Grid()
    # As many buckets as hold a call's rows each: the whole past of an entity is then computed in one call, and only
    # what is new looks back at rows that were read before.
    buckets = _buckets(1.1 * extent.rows, most) if entity else 1  # no bucket is quite as large as the others
    if window is None or extent.first is None:
        return Grid(buckets=buckets)
    a_day = extent.rows / extent.days
    finest = [p for p in PERIODS if a_day / buckets * _DAYS[p] >= most / _FINEST]
    return Grid(buckets=buckets, period=finest[0] if finest else "month")


def _buckets(rows: float, most: int) -> int:
    """A power of two, so that grids are seldom other ones."""
    return 1 if rows <= most else 1 << math.ceil(math.log2(rows / most))


def slices(cells: Cells, grid: Grid, window: timedelta | None) -> list[Slice]:
    """What there is to know of each part that reads any row, by bucket and time."""
    buckets = sorted({bucket for bucket, _ in cells})
    days = [day for _, day in cells if day is not None]
    if not grid.period or window is None or not days:
        return [_Bucket.of(cells, bucket).slice(Part(bucket=bucket), None) for bucket in buckets]
    bounds = _bounds(min(days), max(days), grid.period)
    back = look_back(window)
    found = []
    for bucket in buckets:
        own = _Bucket.of(cells, bucket)
        # Rows of the last days can lead to feature rows after them: the last part has no end.
        for start, end in zip(bounds, [*bounds[1:], None], strict=True):
            one = own.slice(Part(bucket=bucket, start=start, end=end), start - back)
            if one.rows:
                found.append(one)
    return found


def calls(wanted: Iterable[Slice], rows_of: Cells, *, most: int) -> list[Call]:
    """The parts in as few calls as `most` rows allow, and at least one part each."""
    found: list[Call] = []
    own: dict[int, _Bucket] = {}
    for one in wanted:
        part = one.part
        if part.bucket not in own:
            own[part.bucket] = _Bucket.of(rows_of, part.bucket)
        last = found[-1] if found else None
        if last is not None and last.bucket == part.bucket and last.until is not None and last.until == part.start:
            rows = own[part.bucket].slice(part, last.since).rows
            if rows <= most:
                found[-1] = Call(parts=(*last.parts, part), since=last.since, rows=rows)
                continue
        found.append(Call(parts=(part,), since=one.since, rows=one.rows))
    return found


@dataclass(frozen=True)
class _Bucket:
    """The cells of one bucket, by day."""

    days: Sequence[int]
    cells: Sequence[Cell]
    undated: Cell | None

    @classmethod
    def of(cls, cells: Cells, bucket: int) -> _Bucket:
        own = sorted((day, cell) for (b, day), cell in cells.items() if b == bucket and day is not None)
        return cls([day for day, _ in own], [cell for _, cell in own], cells.get((bucket, None)))

    @cached_property
    def _before(self) -> list[int]:
        return [0, *accumulate(cell.rows for cell in self.cells)]

    def slice(self, part: Part, since: int | None) -> Slice:
        """What a part reads: rows without a time belong to every slice, for they have no age."""
        first = 0 if since is None else bisect_left(self.days, since)
        last = len(self.days) if part.end is None else bisect_left(self.days, part.end)
        undated = self.undated.rows if self.undated else 0
        whole = hashlib.sha256(f"{self.undated}".encode())
        for day, cell in zip(self.days[first:last], self.cells[first:last], strict=True):
            whole.update(f"{day} {cell.rows} {cell.digest}\n".encode())
        dated = self._before[last] - self._before[first] if last > first else 0
        rows = dated + undated if dated or since is None else 0
        return Slice(part=part, since=since, rows=rows, digest=whole.hexdigest())


def _bounds(first: int, last: int, period: Period) -> list[int]:
    """The first days of the periods that hold the days `first` to `last`, and of the one after them."""
    bounds = [_start(first, period)]
    while bounds[-1] <= last:
        bounds.append(_next(bounds[-1], period))
    return bounds


def _start(day: int, period: Period) -> int:
    if period == "week":
        return day - (day - _MONDAY) % 7
    if period == "month":
        there = _EPOCH + timedelta(days=day)
        return (there.replace(day=1) - _EPOCH).days
    return day


def _next(day: int, period: Period) -> int:
    if period == "month":
        there = _EPOCH + timedelta(days=day)
        return (date(there.year + there.month // 12, there.month % 12 + 1, 1) - _EPOCH).days
    return day + int(_DAYS[period])
