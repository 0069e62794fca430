"""What a feature store can do, whichever its home: eight verbs, and the rule that makes training equal serving.

**The rule of time.** A row at time T sees, of an entity's rows that had happened *and* were known strictly before T
(`timestamp < T` and `created < T`), the one with the newest `timestamp`; of several with the same one, the one that
became known last. It sees it only if it is not older than the view's time to live: `T - ttl <= timestamp`. Without a
match the row is kept, and its values are missing. A missing value of the row that counts stays missing: no older row
stands in for it.

*Strictly*, because a stored row may tell of the event at its own time; a request comes before its event is recorded,
so it cannot see that row, and a training row must not see it either. *Known*, because a row that arrived late, or
corrects an earlier one, was not there for the requests in between. A view without `created` knows each row at its
`timestamp`. A row without entity, time or known time is never seen.

The online store follows the same rule with T = now, taken when it is published; `ttl` is applied when it is read.
Times are compared in UTC microseconds, finer ones are rounded down; a time without a zone is UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import pandas as pd

    from mlops.declare import FeatureView

MISSING: Final[Mapping[str, Any]] = MappingProxyType({})
"""What an online read gives for an entity that the store does not hold; told apart from EXPIRED by identity."""

EXPIRED: Final[Mapping[str, Any]] = MappingProxyType({})
"""What an online read gives for an entity whose newest values are past their time to live."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Columns to read of a view: `written` is what `write` or `gather` gave; `columns` maps them to other names."""

    view: FeatureView
    written: str
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnStatistics:
    """One feature over all stored rows; `mean`, `low` and `high` are None where it is not a number."""

    missing: float  # share of rows, 0 to 1
    distinct: int  # approximate
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What is stored of a view; times in seconds since 1970, None where it is empty."""

    rows: int
    entities: int
    oldest: float | None
    newest: float | None
    columns: Mapping[str, ColumnStatistics] = field(default_factory=dict)


class FeatureStore(Protocol):
    """A home of features, offline (all of history) and online (the newest row of each entity).

    A view's history lies in one or more *parts*; any of their names, and that of the whole, can be looked up.
    """

    def write(self, view: FeatureView, features: pd.DataFrame) -> str:
        """Store a view's rows (entity, timestamp, `created` where declared, features) as one part; gives its name.

        The name stands for exactly this content. Of rows with the same entity, time and known time the last counts.
        """
        ...

    def gather(self, view: FeatureView, names: Sequence[str]) -> str:
        """One name for a history that lies in several parts, which share no entity and time; their order is no matter.

        One part's own name is a whole history too. ValueError without names.
        """
        ...

    def point_in_time(self, rows: pd.DataFrame, lookups: Sequence[Lookup], *, timestamp: str) -> pd.DataFrame:
        """The looked-up columns as of each row's `timestamp`, one row for each of `rows`, in order, with their index.

        Numbers and booleans come as float64; where nothing matches, the value is missing.
        """
        ...

    def publish(self, view: FeatureView, written: str, *, now: float | None = None, as_of: float | None = None) -> int:
        """Put each entity's newest row known before `now` (default: now) online, all at once; gives the entities held.

        `as_of` says when the history's source was read. Values never go back: a history as of an earlier moment than
        the one that is online adds only what is newer. None: the time of its newest row.
        """
        ...

    def online(self, view: str, keys: Sequence[Any], now: float) -> list[Mapping[str, Any]]:
        """One mapping of feature to value for each key; MISSING or EXPIRED, both empty, where there is none to use."""
        ...

    def statistics(self, view: FeatureView, written: str) -> Statistics:
        """Counts, times and ranges of what was written."""
        ...

    def prune(self, keep: Collection[str]) -> tuple[str, ...]:
        """Take every view but those named offline from the requests' reach; gives the names of those removed."""
        ...

    def announce(self, model: str, reads: Mapping[str, Sequence[str]], tags: Mapping[str, str]) -> None:
        """Let others see which columns of which views a model version reads; where nobody looks, nothing is done."""
        ...
