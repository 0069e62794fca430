"""What is known when, in the source of a view: its event time, and the labels that come later."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlops.declare import FeatureView, Model
from mlops.gates.look_ahead import DelayedLabel

if TYPE_CHECKING:
    import pandas as pd


def event_time(view: FeatureView, models: Iterable[Model], source: pd.DataFrame) -> str | None:
    """The event time of the source: the view's own, that of one of `models`, or the only one there is."""
    import pandas as pd

    times = [str(name) for name in source.columns if pd.api.types.is_datetime64_any_dtype(source[name])]
    for name in (view.timestamp, *(m.timestamp for m in models if m.source == view.source)):
        if name in times:
            return name
    return times[0] if len(times) == 1 else None


def delayed_labels(view: FeatureView, models: Iterable[Model], source: pd.DataFrame) -> list[DelayedLabel]:
    """The labels of `models` in the source that are known only some time after their row."""
    found: dict[str, DelayedLabel] = {}
    for model in models:
        if model.source == view.source and model.label_delay and model.label in source:
            values = sorted(source[model.label].dropna().unique().tolist())
            found[model.label] = DelayedLabel(column=model.label, delay=model.label_delay, values=tuple(values))
    return list(found.values())
