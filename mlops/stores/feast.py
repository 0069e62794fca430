"""Features at home in Feast: its offline join and its online store, kept to the rule of time that `protocol` states.

What Feast does otherwise is met here and in `feast_tables`, one by one:

- it includes the row at the very moment: it is asked for the microsecond before;
- its file store drops rows without a match and one of two rows with the same entity and time: it is asked for each
  entity and moment once, and its answer is laid beside the rows that asked;
- it lets rows into training that were not known yet, and its ties are not stable: see `feast_tables`;
- it gives expired values online: the time to live is applied here, with the time of the row;
- an entity that is gone from a history stays online: its row is replaced by one that reads as missing.

On-demand functions are never given to it: it would pickle them, and skip one whose name another has.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.adapters.feast import MOMENT, OFFLINE, ROW, Described, Feast, Registered
from mlops.adapters.lock import locked
from mlops.declare import FeatureView
from mlops.errors import OutsideError, UsageError
from mlops.stores import joins
from mlops.stores.embedded import EmbeddedStore, asked_table, looked_up, refuse_other_kind
from mlops.stores.feast_tables import HAPPENED, History, columns_of, entity_kind
from mlops.stores.online import Published
from mlops.stores.protocol import MISSING, Lookup, Statistics
from mlops.stores.reading import FEAST, Address, Kind, fresh, key, write_address

if TYPE_CHECKING:
    import pandas as pd

    from mlops.adapters.objects import ObjectStore

HELD, AS_OF, PUBLISHED, NEWEST, COUNT = (f"mlops.{name}" for name in ("held", "as_of", "published", "newest", "rows"))
"""Tags by which the registry tells what is online of a view: histories, as of when, since when, newest row, count."""

_GONE_AT = "1970-01-01"  # the time that Feast gives for an entity which it does not know


class FeastStore:
    """Features whose history lies in `objects`, joined by Feast's offline store, and online in Feast's online store.

    `about` gives a view's tags (the digest of its code) by its name; `owner` is whom the registry names; `address` is
    how services read what is published, which is then written into `home`.
    """

    def __init__(
        self,
        home: Path,
        objects: ObjectStore,
        feast: Feast,
        *,
        about: Callable[[str], Mapping[str, str]] = lambda _: {},
        owner: str = "",
        address: Address | None = None,
    ) -> None:
        self.home = home
        self.objects = objects
        self.feast = feast
        self._about = about
        self._owner = owner
        self._address = address
        self._embedded = EmbeddedStore(home, objects)

    def write(self, view: FeatureView, features: pd.DataFrame) -> str:
        """Store the rows as one Parquet file, which Feast reads where it lies; gives its digest."""
        return self._embedded.write(view, features)

    def gather(self, view: FeatureView, names: Sequence[str]) -> str:
        """The digest of a small object that names the parts, each once and sorted."""
        return self._embedded.gather(view, names)

    def statistics(self, view: FeatureView, written: str) -> Statistics:
        """Counts, times and ranges of the stored rows."""
        return self._embedded.statistics(view, written)

    def point_in_time(self, rows: pd.DataFrame, lookups: Sequence[Lookup], *, timestamp: str) -> pd.DataFrame:
        """Feast's own join for each view, laid beside the rows that asked."""
        self._demand_files()
        return looked_up(rows, lookups, lambda lookup: self._look_up(rows, lookup, timestamp))

    def publish(self, view: FeatureView, written: str, *, now: float | None = None, as_of: float | None = None) -> int:
        """Put each entity's newest row known before `now` into Feast's online store; gives the number of entities held.

        Feast has no transaction over entities: readers see each entity's old row or its new one. What says how new
        the values are is written last, so a publication that was killed is done again by the next.
        """
        moment = time.time() if now is None else now
        with self._alone():
            before = self.feast.registered().get(view.name)
            rows = self._history(view, written).newest(moment)
            tags = dict(before.tags) if before else {}
            held = float(tags[AS_OF]) if AS_OF in tags else None
            mine = _latest(view, rows) if as_of is None else as_of
            if held is not None and as_of is not None and mine < held:
                return int(tags[COUNT])
            described = self._described(view, written, tags)
            self.feast.register(described)
            whole = held is None or mine > held or as_of is not None
            exchange = self._replace if whole else self._add
            count, newest = exchange(described, rows, self._online_already(view, before))
            said = {
                HELD: ",".join([written] if whole else sorted({*tags[HELD].split(","), written})),
                AS_OF: repr(mine if held is None else max(mine, held)),
                PUBLISHED: repr(moment),
                NEWEST: repr(newest),
                COUNT: str(count),
            }
            self.feast.annotate(replace(described, tags={**described.tags, **said}))
            if self._address is not None:
                write_address(self.home / FEAST, self._address)
        return count

    def online(self, view: str, keys: Sequence[Any], now: float) -> list[Mapping[str, Any]]:
        """The newest values of entities as of `now` (seconds since 1970)."""
        known = self.feast.known(view)
        if known is None:
            return [MISSING] * len(keys)
        asked = [key(one, known.entity_kind) for one in keys]
        return fresh(asked, lambda some: self.feast.read(view, known.entity, known.columns, some), known.ttl, now)

    def announce(self, model: str, reads: Mapping[str, Sequence[str]], tags: Mapping[str, str]) -> None:
        """Make what a model version reads a feature service of its name; its views are published before."""
        with self._alone():
            self.feast.serve(model, reads, tags=tags)

    def prune(self, keep: Collection[str]) -> tuple[str, ...]:
        """Remove our views that are not named from the registry and the online store; those of others stay."""
        with self._alone():
            gone = tuple(one.view for one in published(self.feast) if one.view not in keep)
            self.feast.forget(gone)
        return gone

    def _history(self, view: FeatureView, written: str) -> History:
        return History(view, written, self.objects, self.home / "feast")

    def _demand_files(self) -> None:
        if self.feast.offline not in OFFLINE:
            raise UsageError(
                f"the offline store {self.feast.offline!r} of {self.feast.file} reads tables, and Feast has no way to "
                f"make one for each history; mlops joins in {', '.join(OFFLINE)}",
                next_step="write `offline_store: {type: duckdb}`; `mlops features export --to feast` writes a "
                "repository for use with any other",
            )

    def _look_up(self, rows: pd.DataFrame, lookup: Lookup, timestamp: str) -> dict[str, pd.Series]:
        view, stored = lookup.view, self._history(lookup.view, lookup.written)
        kinds = stored.kinds()
        table = asked_table(rows, view, timestamp)
        refuse_other_kind(table, kinds[view.entity], view)
        described, places = stored.joinable()
        empty = kinds[view.entity] == joins.NOTHING
        asked = table.slice(0, 0 if empty else None).drop_null().to_pandas()
        once = asked[["key", "moment"]].drop_duplicates(ignore_index=True)
        values = self._joined(described, once, [HAPPENED, *(places[name] for name in lookup.columns)])
        if view.ttl is not None:
            values = values[values[HAPPENED] >= values["moment"] - joins.microseconds(view.ttl.total_seconds())]
        beside = asked.merge(values, on=["key", "moment"], how="left").set_index("position").reindex(range(len(rows)))
        return {
            given: _as_promised(beside[places[name]], kinds[name]).set_axis(rows.index)
            for name, given in lookup.columns.items()
        }

    def _joined(self, described: Described, once: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
        """`once` (key, moment) with what Feast found for each, of which it may have dropped some."""
        import pandas as pd

        if once.empty:
            return once.reindex(columns=[*once.columns, *columns])
        asked = pd.DataFrame(
            {
                described.entity: once["key"].astype("int64" if described.entity_kind == "int" else str),
                MOMENT: pd.to_datetime(once["moment"].astype("int64") - 1, unit="us", utc=True),
                ROW: range(len(once)),
            }
        )
        with tempfile.TemporaryDirectory(prefix="mlops-feast-") as scratch:
            found = self.feast.join(described, asked, columns, Path(scratch) / "registry.db")
        return once.merge(found.set_index(ROW), left_index=True, right_index=True)

    def _described(self, view: FeatureView, written: str, tags: Mapping[str, str]) -> Described:
        """The view as the shared registry knows it: under its own names, with its whole history."""
        stored = self._history(view, written)
        kinds = stored.kinds()
        unknown = kinds[view.entity] == joins.NOTHING
        return Described(
            name=view.name,
            entity=view.entity,
            entity_kind=self._registered_kind(view) if unknown else entity_kind(view, kinds[view.entity]),
            timestamp=view.timestamp,
            created=view.created,
            ttl=view.ttl,
            columns=columns_of(view, kinds),
            described=dict(view.columns),
            path=stored.whole(),
            description=view.doc,
            owner=self._owner,
            tags={**tags, **self._about(view.name), "mlops.version": str(view.version)},
        )

    def _registered_kind(self, view: FeatureView) -> Kind:
        """What the registry takes the entity for, where the history has none."""
        kinds = (one.entity_kind for one in self.feast.registered().values() if one.entity == view.entity)
        return next(kinds, "int")

    def _online_already(self, view: FeatureView, before: Registered | None) -> set[int | str]:
        """The entities that are online, by the histories that were published; those that are lost here are let be."""
        held: set[int | str] = set()
        for written in filter(None, before.tags.get(HELD, "").split(",") if before else []):
            try:
                held |= self._history(view, written).entities()
            except OutsideError:
                continue
        return held

    def _replace(self, view: Described, rows: pd.DataFrame, held: set[int | str]) -> tuple[int, float | None]:
        """Make the rows what is online, and nothing else; gives how many entities there are, and the newest time."""
        import pandas as pd

        self.feast.put(view, rows)
        gone = sorted(held - set(rows[view.entity]))
        if gone:
            times = dict.fromkeys([view.timestamp, *([view.created] if view.created else [])], pd.Timestamp(_GONE_AT))
            nothing = pd.DataFrame({view.entity: gone}).reindex(columns=rows.columns).assign(**times)
            self.feast.put(view, nothing)
        return len(rows), _seconds(rows[view.timestamp].max()) if len(rows) else None

    def _add(self, view: Described, rows: pd.DataFrame, held: set[int | str]) -> tuple[int, float | None]:
        """Put those rows online that are newer than what is; gives how many entities there are, and the newest time."""
        import pandas as pd

        keys = rows[view.entity].tolist()
        online = self.feast.read(view.name, view.entity, list(view.columns), keys)
        at = (rows[view.timestamp] - pd.Timestamp(0)) // pd.Timedelta(microseconds=1)
        self.feast.put(view, rows[[old is None or new >= old[0] for old, new in zip(online, at, strict=True)]])
        newest = max([*at, *(old[0] for old in online if old is not None)], default=None)
        return len(held | set(keys)), None if newest is None else newest / 1e6

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Feast's file registry is written whole by whoever changes it, and the last one wins."""
        with locked(self.home / "feast.lock", "Feast's registry is being written"):
            yield


def published(feast: Feast) -> tuple[Published, ...]:
    """What Feast holds online, by view."""
    ours = [one for _, one in sorted(feast.registered().items()) if COUNT in one.tags]
    return tuple(
        Published(
            view=one.name,
            entity=one.entity,
            published=float(one.tags[PUBLISHED]),
            newest=None if one.tags[NEWEST] == "None" else float(one.tags[NEWEST]),
            rows=int(one.tags[COUNT]),
        )
        for one in ours
    )


def _as_promised(values: pd.Series, duckdb_type: str) -> pd.Series:
    """Numbers and truth values as float64, all else as objects with None where it is missing."""
    import pandas as pd

    if joins.is_number(duckdb_type) or duckdb_type == joins.NOTHING:
        return pd.to_numeric(values).astype("float64")
    return values.astype(object).where(values.notna(), None)


def _latest(view: FeatureView, rows: pd.DataFrame) -> float:
    """When the newest of the rows had happened and was known, in seconds since 1970; 0 without rows."""
    times = rows[[view.timestamp, *([view.created] if view.created else [])]]
    return _seconds(times.max().max()) if len(rows) else 0.0


def _seconds(moment: pd.Timestamp) -> float:
    return moment.tz_localize("UTC").timestamp()
