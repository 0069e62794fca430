"""Feast behind plain values: the only file that imports it, and the place that knows its faults.

Feast's registry, its offline join and its online store are reached through `Feast`; what it is told of a view is a
`Described`. Everything here is checked against Feast 0.67, whose behaviour each comment names.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from mlops.errors import ConfigError, DeclarationError, MlopsError, OutsideError, UsageError

if TYPE_CHECKING:
    import feast
    import pandas as pd

Kind = Literal["int", "float", "bool", "string"]
Row = tuple[int, Mapping[str, Any]]
"""The time of an entity's row in microseconds since 1970, and its values."""

ROW = "mlops_row"
MOMENT = "event_timestamp"  # the one name by which every offline store knows the time of an entity row
OFFLINE = ("file", "dask", "duckdb")
"""Offline stores that read a Parquet file where it lies; for all others it would have to be loaded into a table."""

_ROWS_AT_ONCE = 100_000
_KEYS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A view as Feast is told of it; `path` is the Parquet file of its history, `columns` its features.

    `described` says what some of the columns mean.
    """

    name: str
    entity: str
    entity_kind: Kind
    timestamp: str
    columns: Mapping[str, Kind]
    path: str
    created: str | None = None
    ttl: timedelta | None = None
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    described: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What the registry says of a view that we put there; `ttl` in microseconds."""

    name: str
    entity: str
    entity_kind: Kind
    columns: tuple[str, ...]
    ttl: int | None
    tags: Mapping[str, str]


class Feast:
    """One Feast repository; made by `open_feast`. One instance serves all threads."""

    def __init__(self, store: feast.FeatureStore, file: Path) -> None:
        self.file = file
        self._store = store
        # Feast reads SQLite through one connection, whoever asks.
        alone = _type(store.config.online_store) == "sqlite"
        self._reading: contextlib.AbstractContextManager[Any] = threading.Lock() if alone else contextlib.nullcontext()
        # Feast's Redis store leaves a row as it is when the new one has the same time: a correction would be lost.
        if hasattr(store.config.online_store, "skip_dedup"):
            store.config.online_store.skip_dedup = True

    @property
    def offline(self) -> str:
        """The type of the offline store, as feature_store.yaml names it."""
        return _type(self._store.config.offline_store)

    def join(self, view: Described, asked: pd.DataFrame, columns: Sequence[str], registry: Path) -> pd.DataFrame:
        """Feast's point-in-time join: `columns` and ROW of those rows of `asked` (entity, MOMENT, ROW) that it gives.

        A row's moment is included. It may leave rows out, or give them in another order. The view is registered in
        the file `registry` alone, so that the shared registry only ever names what is live.
        """
        import feast

        with self._failing(f"join {view.name}"):
            settings = yaml.safe_load(os.path.expandvars(self.file.read_text(encoding="utf-8")))
            config = feast.RepoConfig(**{**settings, "registry": str(registry), "online_store": None})
            config.repo_path = self._store.config.repo_path
            store = feast.FeatureStore(config=config)
            store.registry.apply_entity(_entity(view), config.project, commit=False)
            store.registry.apply_feature_view(_view(view), config.project)
            found: pd.DataFrame = store.get_historical_features(
                asked, features=[f"{view.name}:{column}" for column in columns]
            ).to_df()
        return found[[ROW, *columns]]

    def register(self, view: Described) -> None:
        """Make the registry and the online store know a view as described; its values stay."""
        with self._failing(f"register {view.name}"):
            self._refuse_other_kind(view)
            self._store.apply([_entity(view), _view(view)])

    def annotate(self, view: Described) -> None:
        """Bring the registry's tags of a view up to date, and touch nothing else."""
        with self._failing(f"register {view.name}"):
            self._store.registry.apply_feature_view(_view(view), self._store.project)

    def serve(self, model: str, views: Mapping[str, Sequence[str]], *, tags: Mapping[str, str]) -> None:
        """Make the registry know what a model version reads as a feature service of its name."""
        import feast

        with self._failing(f"register {model}"):
            projections = [self._store.get_feature_view(name)[list(columns)] for name, columns in views.items()]
            self._store.apply([feast.FeatureService(name=model, features=projections, tags=dict(tags))])

    def registered(self) -> dict[str, Registered]:
        """All feature views by name."""
        with self._failing("read its registry"):
            views = self._store.list_feature_views()
        return {view.name: _registered(view) for view in views}

    def known(self, name: str) -> Registered | None:
        """A feature view as this process last saw it; looked up again where it was not there."""
        with self._failing("read its registry"):
            for _ in range(2):
                view = next((v for v in self._store.list_feature_views(allow_cache=True) if v.name == name), None)
                if view is not None:
                    return _registered(view)
                self._store.refresh_registry()
        return None

    def put(self, view: Described, rows: pd.DataFrame) -> None:
        """Make `rows` (entity, timestamp, created where declared, features) the online values of their entities."""
        # Feast writes the first chunk of a large table only, and none where every value is missing: so its own
        # checks are passed by, and it gets one chunk at a time.
        with self._failing(f"write {view.name} online"):
            provider, target = self._store.provider, _view(view)
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                provider.ingest_df(target, rows.iloc[start : start + _ROWS_AT_ONCE])

    def forget(self, names: Iterable[str]) -> None:
        """Remove views from the registry, with the services that read them, and their values from the online store."""
        gone = set(names)
        with self._failing("remove views"):
            views = [view for view in self._store.list_feature_views() if view.name in gone]
            services = [
                service
                for service in self._store.list_feature_services()
                if gone & {projection.name for projection in service.feature_view_projections}
            ]
            # Services first: Feast lets a service stand that names a view which is gone.
            if views or services:
                self._store.apply([], objects_to_delete=[*services, *views], partial=False)

    def services(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """What each feature service reads: its views and their columns."""
        with self._failing("read its registry"):
            return {
                service.name: {
                    one.name: tuple(feature.name for feature in one.features)
                    for one in service.feature_view_projections
                }
                for service in self._store.list_feature_services()
            }

    def read(self, view: str, entity: str, columns: Sequence[str], keys: Sequence[int | str]) -> list[Row | None]:
        """Each entity's newest row online, None where there is none; however old it is."""
        found: list[Row | None] = []
        refs = [f"{view}:{column}" for column in columns]
        with self._failing(f"read {view} online"):
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                some = list(keys[start : start + _KEYS_AT_ONCE])
                with self._reading:
                    answer = self._store.get_online_features(features=refs, entity_rows={entity: some}).proto
                found += _rows(answer, columns, len(some))
        return found

    def _refuse_other_kind(self, view: Described) -> None:
        """Feast would change the type of the entity for all views, which then find nothing."""
        mine = _entity(view)
        other = next((e for e in self._store.list_entities() if e.name == mine.name), None)
        if other is None or other.value_type == mine.value_type:
            return
        readers = [
            one.name for one in self._store.list_feature_views() if mine.name in one.entities and one.name != view.name
        ]
        if readers:
            raise DeclarationError(
                f"{view.name}: its entity {view.entity} holds {mine.value_type.name.lower()}, but "
                f"{other.value_type.name.lower()} in {', '.join(readers)}, and Feast knows one type for each entity",
                next_step=f"give {view.entity} the same type in all views, or another name",
            )

    @contextlib.contextmanager
    def _failing(self, doing: str) -> Iterator[None]:
        try:
            yield
        except MlopsError:
            raise
        except Exception as error:
            # Feast passes on whatever its stores and their drivers raise.
            raise OutsideError(
                f"Feast could not {doing} ({self.file}): {type(error).__name__}: {str(error).strip()[:500]}",
                next_step=f"see that what {self.file.name} names is running and reachable, then run again",
            ) from error


def open_feast(file: Path) -> Feast:
    """The repository whose feature_store.yaml is `file`, opened once per process; ConfigError where it is wrong."""
    if not file.is_file():
        raise ConfigError(
            f"there is no {file}", next_step="write one (`feast init` shows how), or change repo in [tool.mlops.store]"
        )
    return _opened(file.resolve(), file.stat().st_mtime_ns)


def configured_apart(file: Path, place: Path) -> Path:
    """A configuration in the folder `place` for the same stores as `file`, under a project of its own; gives its path.

    Online stores keep projects apart by name. What lies in a file (the registry, SQLite) gets a file of its own.
    """
    if not file.is_file():
        raise ConfigError(
            f"there is no {file}", next_step="write one (`feast init` shows how), or change repo in [tool.mlops.store]"
        )
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))  # ${VARIABLES} stay as they are: they may be secrets
    online = settings.get("online_store") or {}
    if not isinstance(online, dict) or online.get("type", "sqlite") == "sqlite":
        online = {"type": "sqlite", "path": str(place / "online.db")}
    apart = {
        **settings,
        "project": f"{settings.get('project', 'mlops')}_{secrets.token_hex(4)}",
        "registry": str(place / "registry.db"),
        "online_store": online,
    }
    place.mkdir(parents=True, exist_ok=True)
    own = place / "feature_store.yaml"
    own.write_text(yaml.safe_dump(apart), encoding="utf-8")
    return own


@lru_cache(maxsize=16)
def _opened(file: Path, _changed: int) -> Feast:
    os.environ.setdefault("FEAST_USAGE", "False")
    try:
        import feast
    except ImportError as error:
        raise UsageError(
            f'the feature store is home = "feast", and Feast cannot be imported: {error}',
            next_step="install it into this environment: pip install 'mlops[feast]'",
        ) from error
    try:
        return Feast(feast.FeatureStore(repo_path=str(file.parent), fs_yaml_file=file), file)
    except Exception as error:
        # Feast raises its own, pydantic's and YAML's errors for a file that it cannot take.
        raise ConfigError(
            f"{file} is not a configuration that Feast takes: {str(error).strip()[:500]}", next_step="mend that file"
        ) from error


def _type(config: Any) -> str:
    return str(getattr(config, "type", ""))


def _entity(view: Described) -> feast.Entity:
    import feast

    kind = feast.ValueType.STRING if view.entity_kind == "string" else feast.ValueType.INT64
    return feast.Entity(name=view.entity, join_keys=[view.entity], value_type=kind)


def _view(view: Described) -> feast.FeatureView:
    import feast
    from feast.data_format import ParquetFormat
    from feast.types import Bool, Float64, Int64, String

    kinds = {"int": Int64, "float": Float64, "bool": Bool, "string": String}
    columns = {view.entity: view.entity_kind, **view.columns}
    return feast.FeatureView(
        name=view.name,
        entities=[_entity(view)],
        ttl=view.ttl or timedelta(0),  # 0 is for ever
        schema=[
            feast.Field(name=name, dtype=kinds[kind], description=view.described.get(name, ""))
            for name, kind in columns.items()
        ],
        source=feast.FileSource(
            name=f"{view.name}_history",
            path=view.path,
            file_format=ParquetFormat(),
            timestamp_field=view.timestamp,
            created_timestamp_column=view.created or "",
        ),
        description=view.description,
        owner=view.owner,
        tags=dict(view.tags),
    )


def _registered(view: feast.FeatureView) -> Registered:
    from feast.types import String

    return Registered(
        name=view.name,
        entity=view.entity_columns[0].name,
        entity_kind="string" if view.entity_columns[0].dtype == String else "int",
        columns=tuple(feature.name for feature in view.features),
        ttl=round(view.ttl.total_seconds() * 1e6) if view.ttl else None,
        tags=dict(view.tags),
    )


def _rows(answer: Any, columns: Sequence[str], count: int) -> list[Row | None]:
    """Feast says for each value whether it is there; a row's time is that of its values."""
    place = {name: at for at, name in enumerate(answer.metadata.feature_names.val)}
    vectors = [answer.results[place[column]] for column in columns]
    lists = [[_value(value) for value in vector.values] for vector in vectors]
    times = [_microseconds(stamp) for stamp in vectors[0].event_timestamps] if vectors else [0] * count
    return [
        (times[at], {column: values[at] for column, values in zip(columns, lists, strict=True)}) if times[at] else None
        for at in range(count)
    ]


def _value(value: Any) -> Any:
    kind = value.WhichOneof("val")
    plain = None if kind in (None, "null_val") else getattr(value, kind)
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def _microseconds(stamp: Any) -> int:
    return int(stamp.seconds * 1_000_000 + stamp.nanos // 1_000)
