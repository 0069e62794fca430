"""The feature store of one machine: a point-in-time join, and a read at the request.

200,000 labels look up four features in 1,000,000 events of 50,000 entities, beside a bare ASOF join of DuckDB over the
same Parquet file; a sample of the result is proven by the tests' oracle. Then 1 and 100 entities are read online,
beside a bare SELECT of SQLite. Feast does both with its own calls, in its own environment (`.venv/feast`).
"""

from __future__ import annotations

import json
import random
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from benchmarks.ratio import Ratio, alternating
from mlops.adapters.objects import ObjectStore
from mlops.declare import FeatureView, Origin
from mlops.stores.embedded import EmbeddedStore
from mlops.stores.protocol import Lookup
from tests.stores import oracle

EVENTS, ENTITIES, LABELS, FEATURES = 1_000_000, 50_000, 200_000, 4
NAMES = [f"f{place}" for place in range(FEATURES)]
PROVEN, ROUNDS, READS = 500, 7, 2000
FEAST = Path(__file__).with_name("feast_rival.py")
BARE = f"""
    SELECT {", ".join(f"found.{name}" for name in NAMES)}
    FROM labels ASOF LEFT JOIN read_parquet(?) AS found ON labels.customer = found.customer AND labels.at > found.at
"""


def measure() -> list[Ratio]:
    """Medians of alternating runs; the two kinds of view, then reads of 1 and 100 entities."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        history, labels = _tables()
        store = EmbeddedStore(home / "features", ObjectStore(home / "store"))
        return [*_joins(store, history, labels), *_reads(store, history, home), *_feast(store, history, labels, home)]


def _tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(5)

    def moments(count: int) -> pd.DatetimeIndex:
        return pd.to_datetime(rng.integers(0, 365 * 86_400_000_000, count) + 1_704_067_200_000_000, unit="us")

    history = pd.DataFrame({"customer": rng.integers(0, ENTITIES, EVENTS), "at": moments(EVENTS)})
    history[NAMES] = rng.normal(size=(EVENTS, FEATURES))
    late = rng.exponential(3600, EVENTS) * (rng.random(EVENTS) < 0.2)  # one in five arrives late
    history.insert(2, "seen_at", history["at"] + pd.to_timedelta((late * 1e6).astype("int64"), unit="us"))
    labels = pd.DataFrame({"customer": rng.integers(0, ENTITIES * 1.02, LABELS), "at": moments(LABELS)})
    return history.drop_duplicates(["customer", "at"]), labels


def view(*, created: bool) -> FeatureView:
    """The benchmark's view."""
    return FeatureView(
        function=lambda frame: frame,
        name=f"spend_v{2 if created else 1}",
        module="benchmarks",
        origin=Origin("benchmarks/features.py", 1),
        source="payments",
        entity="customer",
        timestamp="at",
        created="seen_at" if created else None,
        ttl=timedelta(days=60),
    )


def _joins(store: EmbeddedStore, history: pd.DataFrame, labels: pd.DataFrame) -> list[Ratio]:
    found = []
    for created in (False, True):
        declared = view(created=created)
        features = history if created else history.drop(columns="seen_at")
        written = store.write(declared, features)
        lookup = Lookup(view=declared, written=written, columns={name: name for name in NAMES})
        path = str(store.objects.path(written))

        def ours(lookup: Lookup = lookup) -> pd.DataFrame:
            return store.point_in_time(labels, [lookup], timestamp="at")

        def bare(path: str = path) -> pd.DataFrame:
            with duckdb.connect() as connection:
                connection.register("labels", labels)
                return connection.sql(BARE, params=[path]).df()

        _prove(declared, features, labels, ours())
        seconds, rival = alternating(ours, bare, rounds=ROUNDS)
        kind = "known times" if created else "event times"
        # A bare join knows no known times: leaving out what came too late costs a second sort of the events.
        goal = 2.5 if created else 1.5
        found.append(Ratio("F1", f"join of 200k labels, {kind} / bare ASOF", seconds, rival, goal))
    return found


def _prove(declared: FeatureView, history: pd.DataFrame, labels: pd.DataFrame, found: pd.DataFrame) -> None:
    """A sample of the join, row by row by the oracle; the whole history of an entity is looked at."""
    sample = labels.sample(PROVEN, random_state=1)
    groups = dict(tuple(history[history["customer"].isin(sample["customer"])].groupby("customer")))
    for row, entity, moment in zip(sample.index, sample["customer"], sample["at"], strict=True):
        seen = oracle.seen(declared, groups.get(entity, history.head(0)), entity, moment)
        expected = [None if isinstance(seen, str) else seen[name] for name in NAMES]
        values = [None if np.isnan(value) else value for value in found.loc[row, NAMES]]
        if values != expected:
            raise AssertionError(f"{entity} at {moment}: {values}, the oracle says {expected}")


def _reads(store: EmbeddedStore, history: pd.DataFrame, home: Path) -> list[Ratio]:
    declared = view(created=False)
    features = history.drop(columns="seen_at")
    store.publish(declared, store.write(declared, features))
    now = history["at"].max().timestamp()
    bare = _bare_file(features, home)
    found = []
    for count in (1, 100):
        asked = [random.Random(seed).sample(range(ENTITIES), count) for seed in range(READS)]
        query = f"SELECT key, {', '.join(NAMES)} FROM latest WHERE key IN ({','.join('?' * count)})"
        ours = _quantiles(lambda keys: store.online(declared.name, keys, now), asked)
        rival = _quantiles(lambda keys, query=query: bare.execute(query, keys).fetchall(), asked)
        for place, name in enumerate(("p50", "p99")):
            label = f"online read of {count} entities, {name} / bare SQLite"
            found.append(Ratio("F2", label, ours[place], rival[place], 3.0, unit="ms"))
    return found


def _bare_file(features: pd.DataFrame, home: Path) -> sqlite3.Connection:
    newest = features.sort_values("at").drop_duplicates("customer", keep="last")
    connection = sqlite3.connect(home / "bare.sqlite")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"CREATE TABLE latest (key INTEGER PRIMARY KEY, {', '.join(f'{n} REAL' for n in NAMES)})")
    rows = newest[["customer", *NAMES]].itertuples(index=False, name=None)
    connection.executemany(f"INSERT INTO latest VALUES (?, {', '.join('?' * FEATURES)})", rows)
    connection.commit()
    return connection


def _quantiles(read: Callable[[list[int]], object], asked: list[list[int]]) -> tuple[float, float]:
    """Milliseconds: the median and the 99th of a hundred."""
    for keys in asked[:100]:
        read(keys)
    spent = []
    for keys in asked:
        started = time.perf_counter()
        read(keys)
        spent.append((time.perf_counter() - started) * 1e3)
    return statistics.median(spent), statistics.quantiles(spent, n=100)[98]


def _feast(store: EmbeddedStore, history: pd.DataFrame, labels: pd.DataFrame, home: Path) -> list[Ratio]:
    python = Path(__file__).parents[1] / ".venv" / "feast" / "bin" / "python"
    if not python.exists():
        print(f"-      Feast is not measured: there is no {python}; `make bench` makes it")
        return []
    tables = home / "feast"
    tables.mkdir()
    history.to_parquet(tables / "history.parquet", index=False)
    labels.to_parquet(tables / "labels.parquet", index=False)
    told = subprocess.run(
        [str(python), "-W", "ignore", str(FEAST), str(tables)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    rival = json.loads(told.splitlines()[-1])
    declared = view(created=True)
    lookup = Lookup(view=declared, written=store.write(declared, history), columns={name: name for name in NAMES})
    started = time.perf_counter()
    store.point_in_time(labels, [lookup], timestamp="at")
    spent = time.perf_counter() - started
    found = [Ratio("F1", "join of 200k labels, known times / Feast", spent, rival["join"], 1.0)]
    store.publish(declared, lookup.written)
    now = history["at"].max().timestamp()
    for count in (1, 100):
        asked = [random.Random(seed).sample(range(ENTITIES), count) for seed in range(READS)]
        ours = _quantiles(lambda keys: store.online(declared.name, keys, now), asked)
        for place, name in enumerate(("p50", "p99")):
            label = f"online read of {count} entities, {name} / Feast"
            found.append(Ratio("F2", label, ours[place], rival[f"read_{count}"][place], 0.2, unit="ms"))
    return found
