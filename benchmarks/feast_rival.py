"""Feast's own calls on the tables in the folder given: prints one line of JSON. Runs in an environment that has Feast.

`history.parquet` has customer, at, seen_at and the features f0…; `labels.parquet` has customer and at. The offline
store is Feast's faster one, DuckDB; the online store is SQLite, as ours is.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from datetime import timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64, Int64

ROUNDS, READS, ENTITIES = 3, 300, 50_000


def main() -> None:
    home = Path(sys.argv[1])
    history = pd.read_parquet(home / "history.parquet")
    labels = pd.read_parquet(home / "labels.parquet")
    names = [name for name in history if name.startswith("f")]
    store = FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry=str(home / "registry.db"),
            offline_store={"type": "duckdb"},
            online_store={"type": "sqlite", "path": str(home / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64)
    source = FileSource(
        path=str(home / "history.parquet"), timestamp_field="at", created_timestamp_column="seen_at", name="payments"
    )
    fields = [Field(name="customer", dtype=Int64), *(Field(name=name, dtype=Float64) for name in names)]
    view = FeatureView(name="spend", entities=[customer], ttl=timedelta(days=60), schema=fields, source=source)
    store.apply([customer, view])
    asked = labels.rename(columns={"at": "event_timestamp"})
    asked["event_timestamp"] = asked["event_timestamp"].dt.tz_localize("UTC")
    features = [f"spend:{name}" for name in names]
    spent = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        store.get_historical_features(asked, features=features).to_df()
        spent.append(time.perf_counter() - started)
    newest = history.sort_values(["at", "seen_at"]).drop_duplicates("customer", keep="last")
    store.write_to_online_store("spend", newest)
    told = {"join": statistics.median(spent)}
    for count in (1, 100):
        read = []
        for seed in range(READS):
            rows = [{"customer": key} for key in random.Random(seed).sample(range(ENTITIES), count)]
            started = time.perf_counter()
            store.get_online_features(features=features, entity_rows=rows).to_dict()
            read.append((time.perf_counter() - started) * 1e3)
        told[f"read_{count}"] = [statistics.median(read), statistics.quantiles(read, n=100)[98]]
    print(json.dumps(told))


main()
