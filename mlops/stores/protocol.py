"""What a feature store can do, whichever its home: six verbs, and the rule that makes training equal serving.

The rule: a row at time T sees an entity's newest features with a time **strictly before** T, and not older than the
view's time to live (`T - ttl <= time < T`). A stored row may tell of the event at its own time; a request comes
before its event is recorded, so it cannot see that row, and a training row must not see it either. Times are
compared in UTC microseconds; a naive time is UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

    from mlops.declare import FeatureView


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Columns to read of a view: `written` is what `write` gave; `columns` maps them to names in the result."""

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
    """A home of features, offline (all of history) and online (the newest row of each entity)."""

    def write(self, view: FeatureView, features: pd.DataFrame) -> str:
        """Store a view's rows (entity, timestamp, features); gives a name for exactly this content.

        Of rows with the same entity and time the last one counts.
        """
        ...

    def point_in_time(self, rows: pd.DataFrame, lookups: Sequence[Lookup], *, timestamp: str) -> pd.DataFrame:
        """The looked-up columns, one row for each of `rows`, in their order and with their index.

        Numbers and booleans come as float64; where nothing matches, the value is missing.
        """
        ...

    def publish(self, view: FeatureView, written: str) -> int:
        """Put the newest row of each entity online, all at once; gives the number of entities."""
        ...

    def online(self, view: str, keys: Sequence[Any], now: float) -> list[Mapping[str, Any]]:
        """One mapping of feature to value for each key; `{}` where it is missing or past its time to live."""
        ...

    def statistics(self, view: FeatureView, written: str) -> Statistics:
        """Counts, times and ranges of what was written."""
        ...

    def prune(self, keep: Collection[str]) -> tuple[str, ...]:
        """Take every view but those named offline from the requests' reach; gives the names of those removed."""
        ...
