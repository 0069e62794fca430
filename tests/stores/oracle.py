"""The rule of time of `mlops/stores/protocol.py`, row by row: slow, and so plain that reading it is its proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from mlops.declare import FeatureView

Row = Mapping[str, Any]
NOT_THERE = "not there"
TOO_OLD = "too old"


def seen(view: FeatureView, history: pd.DataFrame, entity: Any, moment: Any) -> Row | str:
    """The row of `history` that `entity` sees at `moment`, or why there is none."""
    now = microseconds(moment)
    best: tuple[datetime, datetime] | None = None
    answer: Row | str = NOT_THERE
    for row in history.to_dict("records"):
        happened = microseconds(row[view.timestamp])
        known = microseconds(row[view.created]) if view.created else happened
        if now is None or happened is None or known is None or absent(entity) or absent(row[view.entity]):
            continue
        if row[view.entity] != entity or not happened < now or not known < now:
            continue
        if best is None or (happened, known) >= best:
            best = (happened, known)
            too_old = view.ttl is not None and happened < now - view.ttl
            answer = TOO_OLD if too_old else row
    return answer


def column(
    view: FeatureView, history: pd.DataFrame, asked: Sequence[tuple[Any, Any]], name: str
) -> list[float | str | None]:
    """What each of the (entity, moment) pairs sees of one feature; None where there is nothing."""
    found = [seen(view, history, entity, moment) for entity, moment in asked]
    return [None if isinstance(row, str) or absent(row[name]) else plain(row[name]) for row in found]


def plain(value: Any) -> float | str | None:
    """A value as both stores give it: numbers and truth values are floats."""
    if absent(value):
        return None
    return value if isinstance(value, str) else float(value)


def absent(value: Any) -> bool:
    """Whether a value is missing, in any of pandas' ways."""
    return value is None or bool(pd.isna(value))


def microseconds(moment: Any) -> datetime | None:
    """A moment in UTC, rounded down to a microsecond; None where it is missing."""
    if absent(moment):
        return None
    moment = pd.Timestamp(moment)
    utc = moment.tz_localize(UTC) if moment.tzinfo is None else moment.tz_convert(UTC)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=utc.as_unit("ns").value // 1000)
