"""A release asked about the past: sampled entities' features published as of a moment, and what is made of them.

Three comparisons, each with what training saw: the values that the online store gives, what a request alone gives the
model, and what the running service answers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlops.adapters import load
from mlops.adapters.objects import ObjectStore
from mlops.contract import Contract, model_inputs
from mlops.declare import FeatureView
from mlops.gates import online as gate
from mlops.release import CONTRACT
from mlops.serving.asking import as_prediction, requests
from mlops.serving.predictors import columns_of, load_predictor
from mlops.serving.refusal import Refused
from mlops.serving.runtime import LoadedRelease
from mlops.stores import apart, online_file, open_store
from mlops.stores.embedded import EmbeddedStore, asked_table
from mlops.stores.protocol import Lookup
from mlops.stores.rewound import drawn, near_expiry, rewound
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

    from mlops.stores.protocol import FeatureStore
    from mlops.workspace import Workspace

ENTITIES = 48
"""Entities and moments that are compared of each view."""

ROWS = 32
"""Held-out rows that are asked as requests."""

_PRESENT = 1_700_000_000_000_000  # microseconds; any moment will do
_PATIENCE = 120.0
"""Seconds from a publication within which it is read: rows with a value that expires within these are not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a model learnt from: its held-out `table`, the views that it reads, and what is written of each."""

    table: pd.DataFrame
    views: Mapping[str, FeatureView]
    written: Mapping[str, str]
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A service that runs: where it answers, the file that it reads features from, and the payload that it serves."""

    url: str
    online: Path
    payload: Path
    contract: Contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Held-out rows that can be asked as requests, each of other entities: their table, and who asks when, in words."""

    table: pd.DataFrame
    requests: Sequence[dict[str, Any]]
    about: Sequence[str]


def judge_store(
    workspace: Workspace, view: FeatureView, written: str, place: Path, *, subject: str, seed: int
) -> Finding:
    """Whether the home's online store gives sampled entities what the offline join gives, each at its moment."""
    with apart(workspace, place) as online:
        return compared(view, written, workspace.objects, (open_store(workspace), online), subject=subject, seed=seed)


def compared(
    view: FeatureView,
    written: str,
    objects: ObjectStore,
    stores: tuple[FeatureStore, FeatureStore],
    *,
    subject: str,
    seed: int = 0,
) -> Finding:
    """The same for any two stores: the one that joins the history `written` in `objects`, and one to publish in."""
    offline, online = stores
    columns = list(offline.statistics(view, written).columns)
    asked = drawn(view, written, objects, count=ENTITIES, seed=seed)
    if not len(asked) or not columns:
        return gate.not_run(gate.FEATURES, f"{view.name} has no stored row to compare", subject=subject)
    rows = asked.rename(columns={"key": view.entity})
    at = "moment" if view.entity != "moment" else "__moment"
    rows.columns = [view.entity, at]
    lookup = Lookup(view=view, written=written, columns={name: name for name in columns})
    expected = offline.point_in_time(rows, [lookup], timestamp=at)
    return gate.judge_features(view, asked, expected, read(view, written, objects, online, asked), subject=subject)


def read(
    view: FeatureView, written: str, objects: ObjectStore, online: FeatureStore, asked: pd.DataFrame
) -> list[Mapping[str, Any]]:
    """What the store `online` gives the entities of `asked`, each at its moment."""
    part = online.write(view, rewound(view, written, objects, asked, present=_PRESENT))
    online.publish(view, part, now=_PRESENT / 1e6)
    return online.online(view.name, asked["key"].tolist(), _PRESENT / 1e6)


def questions(material: Material, contract: Contract, objects: ObjectStore) -> Questions:
    """Up to ROWS held-out rows: the oldest, the newest, some with missing values, the rest drawn by the seed."""
    table = material.table.reset_index(drop=True)
    must = [field.name for field in contract.fields if not field.nullable]
    possible = table[must].notna().all(axis=1)
    for view in material.views.values():
        asked = _asked(view, table, contract)
        near = near_expiry(view, material.written[view.name], objects, asked, seconds=_PATIENCE)
        possible &= ~asked.index.to_series().isin(asked.index[near]).reindex(table.index, fill_value=False)
    chosen = _chosen(table[possible], contract, material.seed)
    some = table.loc[chosen].reset_index(drop=True)
    asked_as = requests(some, model_inputs(some, contract), contract, len(some)) if len(some) else None
    if asked_as is None:
        return Questions(table=some, requests=(), about=())
    some = some.iloc[asked_as.rows].reset_index(drop=True)
    return Questions(table=some, requests=asked_as.requests, about=[_who(row, contract) for row in _dicts(some)])


def publish(
    material: Material, asked: Questions, contract: Contract, store: FeatureStore, objects: ObjectStore
) -> None:
    """Put the features of those who ask into `store`, as if each one's moment were now."""
    now = time.time()
    for view in material.views.values():
        who = _asked(view, asked.table, contract)
        part = store.write(view, rewound(view, material.written[view.name], objects, who, present=round(now * 1e6)))
        store.publish(view, part, now=now, as_of=now)


def judge_inputs(
    workspace: Workspace, material: Material, asked: Questions, bento: Path, place: Path, *, subject: str
) -> Finding:
    """Whether the release's own code, reading the home's online store, gives the model what training gave it."""
    import pandas as pd

    source = bento / "src"
    contract = msgspec.json.decode((source / "release" / CONTRACT).read_bytes(), type=Contract)
    online = place / online_file(workspace.config)
    with apart(workspace, place) as store:
        publish(material, asked, contract, store, workspace.objects)
        # Opened after that: Feast's reader wants to be told where to read.
        release = LoadedRelease(
            release="", payload=source / "release", source=source, online=online if contract.stored else None
        )
        try:
            rows = release.decoder.convert(list(asked.requests)) if asked.requests else []
            alone = [{name: values.tolist()[0] for name, values in release.given([row]).items()} for row in rows]
        except Refused as refused:
            reason = f"a held-out row is refused as a request: {refused.reason}"
            return gate.not_run(gate.INPUTS, reason, subject=subject)
        finally:
            release.close()
    names = [column.name for column in contract.columns]
    served = pd.DataFrame({name: [row[name] for row in alone] for name in names}, dtype=object)
    return gate.judge_inputs(contract, model_inputs(asked.table, contract), served, asked.about, subject=subject)


def judge_answers(material: Material, asked: Questions, service: Running, objects: ObjectStore) -> Finding:
    """Whether the running service answers each of the rows, alone, as the model answers the training table."""
    contract, subject, place = service.contract, service.contract.model, service.online.parent
    if not asked.requests:
        return gate.not_run(gate.ANSWERS, gate.NOBODY, subject=subject)
    publish(material, asked, contract, EmbeddedStore(place, ObjectStore(place / "objects")), objects)
    said: list[dict[str, Any]] = []
    for about, answer in zip(
        asked.about, load.ask(service.url, [msgspec.json.encode(one) for one in asked.requests]), strict=True
    ):
        if answer.status != 200:
            words = answer.body.decode(errors="replace")[:200]
            problem = f"the service answers {answer.status or 'nothing'} to {about}: {words}"
            return gate.unanswered(problem, len(asked.about), subject=subject)
        said.append(msgspec.json.decode(answer.body))
    frame = model_inputs(asked.table, contract)
    expected = load_predictor(service.payload, contract).predict(columns_of(frame, contract))
    return gate.judge_answers(
        expected, as_prediction(said, contract), asked.about, regression=contract.task == "regression", subject=subject
    )


def _asked(view: FeatureView, table: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Who of `table` asks when, of those who have a key and a time: `key`, `moment`, with the table's index."""
    import pandas as pd

    found = asked_table(table, view, str(contract.timestamp)).to_pandas().set_index(table.index)
    found = found.dropna(subset=["key", "moment"])
    moments = pd.Series(found["moment"].to_numpy("int64").astype("datetime64[us]"), index=found.index)
    return pd.DataFrame({"key": found["key"], "moment": moments})


def _chosen(table: pd.DataFrame, contract: Contract, seed: int) -> list[int]:
    """The index of rows of which no two share an entity: it has one set of features online at a time."""
    import numpy as np

    if not len(table):
        return []
    first = [table.index[0], table.index[-1]]
    for column in contract.columns:
        gone = table.index[table[column.name].isna()]
        first += list(gone[:2])
    for label in table[contract.label].unique()[:5] if contract.task != "regression" else ():
        first += list(table.index[table[contract.label] == label][:2])
    rest = np.random.default_rng(seed).permutation(table.index)[: 8 * ROWS]
    taken: set[tuple[str, Any]] = set()
    rows: list[int] = []
    for place in dict.fromkeys([*first, *rest.tolist()]):
        mine = {(name, table.loc[place, name]) for name in contract.entities}
        if len(rows) < ROWS and not mine & taken:
            rows.append(place)
            taken |= mine
    return sorted(rows)


def _dicts(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(map(str, table.columns), row, strict=True)) for row in table.itertuples(index=False, name=None)]


def _who(row: Mapping[str, Any], contract: Contract) -> str:
    who = ", ".join(f"{name} {row[name]!r}" for name in contract.entities)
    when = f" at {row[contract.timestamp]}" if contract.timestamp else ""
    what = "" if who else ", ".join(f"{field.name}={row[field.name]!r}" for field in contract.fields[:3])
    return f"{who or what}{when}"
