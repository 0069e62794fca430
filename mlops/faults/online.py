"""An online store of the user's own features that breaks a promise: the kinds by which serving drifts from training."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.adapters.objects import ObjectStore
from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.gates.online import FEATURES
from mlops.rehearsal import ENTITIES, compared, read
from mlops.stores.embedded import EmbeddedStore
from mlops.stores.protocol import EXPIRED, MISSING
from mlops.stores.rewound import drawn
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

    from mlops.declare import FeatureView

_HOUR = 3600.0


class FaultyStore(EmbeddedStore):
    """An embedded store to which one of the faults below was done."""

    fault = ""

    def write(self, view: FeatureView, features: pd.DataFrame) -> str:
        """With keys that became text."""
        if self.fault == "keys":
            features = features.assign(**{view.entity: features[view.entity].astype(str)})
        return super().write(view, features)

    def publish(self, view: FeatureView, written: str, *, now: float | None = None, as_of: float | None = None) -> int:
        """With a clock in another zone, without the time to live, or without regard to what was known."""
        if self.fault == "zone" and now is not None:
            now += _HOUR
        kept = replace(view, ttl=None) if self.fault == "ttl" else view
        kept = replace(kept, created=None) if self.fault == "known" else kept
        return super().publish(kept, written, now=now, as_of=as_of)

    def online(self, view: str, keys: Sequence[Any], now: float) -> list[Mapping[str, Any]]:
        """With values that are rounded, filled, or under each other's names."""
        change = _CHANGES.get(self.fault, dict)
        return [row if row is MISSING or row is EXPIRED else change(row) for row in super().online(view, keys, now)]


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    import numpy as np

    return {name: float(np.float32(value)) if isinstance(value, float) else value for name, value in row.items()}


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: 0.0 if value is None else value for name, value in row.items()}


def _swapped(row: Mapping[str, Any]) -> dict[str, Any]:
    return dict(zip(row, [*list(row.values())[1:], *list(row.values())[:1]], strict=True))


_CHANGES: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "float32": _rounded,
    "zero": _filled,
    "swapped": _swapped,
}

FAULTS = {
    "float32": "values are rounded to 32 bits online",
    "zero": "a missing value is 0 online",
    "swapped": "two columns are swapped online",
    "keys": "keys are text online",
    "zone": "the publisher's clock is an hour ahead",
    "ttl": "the time to live is ignored online",
    "known": "rows that are not known yet are seen online",
}
"""Each fault of FaultyStore in words."""


def cases(bench: Bench) -> Generator[Case]:
    """Each fault for the first view of the model that can show it, and all views as they are."""
    views, _ = bench.workspace.catalog.pinned(bench.model)
    if not views:
        return
    place = Path(tempfile.mkdtemp(prefix="selftest-", dir=bench.workspace.scratch))
    try:
        objects = ObjectStore(place / "objects")
        offline = EmbeddedStore(place / "offline", objects)
        written = {view.name: offline.write(view, view.function(bench.table(view.source).copy())) for view in views}

        def faulty(fault: str) -> FaultyStore:
            home = Path(tempfile.mkdtemp(prefix="online-", dir=place))
            store = FaultyStore(home, ObjectStore(home / "objects"))
            store.fault = fault
            return store

        def judge(view: FeatureView, fault: str = "") -> list[Finding]:
            stores = (offline, faulty(fault))
            return [compared(view, written[view.name], objects, stores, subject=bench.model.name, seed=bench.seed)]

        def shows(fault: str, view: FeatureView) -> bool:
            """Whether the fault changes anything that is read of this view."""
            name = written[view.name]
            asked = drawn(view, name, objects, count=ENTITIES, seed=bench.seed)
            sound_one, broken = (read(view, name, objects, faulty(kind), asked) for kind in ("", fault))
            return sound_one != broken

        for fault, words in FAULTS.items():
            shown = next((view for view in views if shows(fault, view)), None)
            if shown is not None:
                yield Case(fault=words, check=FEATURES, judge=partial(judge, shown, fault))
        yield sound(lambda: [finding for view in views for finding in judge(view)])
    finally:
        shutil.rmtree(place, ignore_errors=True)
