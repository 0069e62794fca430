"""What a test of a feature needs: a small frame written as text, and assertions on what a feature promises.

>>> from mlops import feature_view
>>> from mlops.testing import assert_no_look_ahead, assert_same_online, features_at, frame
>>> @feature_view(source="payments", entity="customer_id", timestamp="paid_at", ttl="30d")
... def spend_v1(payments):
...     rows = payments.sort_values(["customer_id", "paid_at"])
...     return rows[["customer_id", "paid_at"]].assign(total=rows.groupby("customer_id")["amount"].cumsum())
>>> payments = frame('''
...     customer_id  paid_at           amount
...     7            2024-01-01T09:00  20.0
...     7            2024-01-03T09:00  30.0
... ''')
>>> assert_no_look_ahead(spend_v1, payments)
>>> assert_same_online(spend_v1, payments)
>>> features_at(spend_v1, payments, 7, "2024-01-03T09:00")
{'total': 20.0}
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.declare import FeatureView, OnDemand, duration
from mlops.gates.properties import judge_view
from mlops.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd

    from mlops.stores.embedded import EmbeddedStore

_MISSING = {"-": None, "null": None, "NaN": None, "None": None}


def frame(text: str) -> pd.DataFrame:
    """A frame from a table in text: a line of names, then a line for each row; blanks or `|` between cells.

    Whole numbers, numbers, true and false, and ISO 8601 times (`2024-01-31T09:00`, a `Z` at the end for UTC) are
    told by their looks, column by column; `-` is missing. With `|`, cells may hold blanks.

    >>> payments = frame('''
    ...     customer_id  event_time        amount
    ...     7            2024-01-01T09:00  20.00
    ...     7            2024-01-03T09:00  -
    ... ''')
    >>> payments["amount"].tolist()
    [20.0, nan]
    """
    import pandas as pd

    lines = [line for line in text.splitlines() if line.strip() and set(line.strip()) - set("|-+: ")]
    table = [_cells(line) for line in lines]
    names, rows = table[0], table[1:]
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise ValueError(f"row {number} has {len(row)} cells for {len(names)} columns: {row}")
    return pd.DataFrame({name: _typed([row[place] for row in rows]) for place, name in enumerate(names)})


def assert_no_look_ahead(view: FeatureView, source: pd.DataFrame) -> None:
    """Fails where a row of the view changes when later rows of `source`, or those known later, are taken away."""
    _assert(view, source, ("features.look-ahead", "features.known-ahead"))


def assert_row_order_does_not_matter(view: FeatureView, source: pd.DataFrame) -> None:
    """Fails where the view gives something else for the same rows in another order."""
    _assert(view, source, ("features.row-order",))


def assert_sound(view: FeatureView, source: pd.DataFrame) -> None:
    """Fails where any built-in property of `check-features` does not hold on `source`."""
    _assert(view, source, None)


def features_at(view: FeatureView, source: pd.DataFrame, entity: int | str, moment: str | datetime) -> dict[str, Any]:
    """What a request of `entity` at `moment` sees of the view, were `source` all that ever came in; None is missing.

    It is the rule of training and serving: the newest row that had happened and was known strictly before `moment`,
    if it is not past the view's `ttl`. A time without a zone is UTC.

    >>> from mlops import feature_view
    >>> @feature_view(source="payments", entity="customer_id", timestamp="paid_at", created="booked_at", ttl="7d")
    ... def last_v1(payments):
    ...     return payments[["customer_id", "paid_at", "booked_at", "amount"]]
    >>> payments = frame('''
    ...     customer_id  paid_at     booked_at   amount
    ...     7            2024-01-01  2024-01-03  20.0
    ... ''')
    >>> [features_at(last_v1, payments, 7, day)["amount"] for day in ("2024-01-02", "2024-01-04", "2024-01-09")]
    [None, 20.0, None]
    """
    import pandas as pd

    from mlops.stores.protocol import Lookup

    at = pd.Timestamp(moment)
    at = at if at.tz is None else at.tz_convert(None)
    with _stored(view, source) as (store, written):
        columns = list(store.statistics(view, written).columns)
        time = _free("moment", view.entity)
        asked = pd.DataFrame({view.entity: [entity], time: [at]})
        lookup = Lookup(view=view, written=written, columns={name: name for name in columns})
        found = store.point_in_time(asked, [lookup], timestamp=time)
    return {str(name): None if pd.isna(value) else value for name, value in found.iloc[0].to_dict().items()}


def assert_same_online(feature: FeatureView | OnDemand, source: pd.DataFrame) -> None:
    """Fails where a request would get another value than a row of the training table.

    A view is written to a store in a temporary folder, published as of moments of its entities (new, old, just expired,
    in between) and read back: each value must be that of the training join, bit for bit. An on-demand feature, whose
    inputs are columns of `source` by their short names, must give each row alone what it gives it among the others,
    must bear missing stored values, and must not ask for the time.

    >>> from mlops import on_demand
    >>> @on_demand(inputs=["amount", "spend_v1.total"])
    ... def share_v1(amount, total):
    ...     return amount / total
    >>> rows = frame('''
    ...     amount  total
    ...     20.0    80.0
    ...     30.0    -
    ... ''')
    >>> assert_same_online(share_v1, rows)

    >>> @on_demand(inputs=["amount"])
    ... def rank_v1(amount):
    ...     return amount.rank()
    >>> assert_same_online(rank_v1, rows)
    Traceback (most recent call last):
    AssertionError: ... rank_v1 depends on other rows: ...
    """
    _call_once(feature, source)
    if isinstance(feature, OnDemand):
        from mlops.gates.on_demand import judge_on_demand

        inputs = [source[name.partition(".")[2] or name].reset_index(drop=True) for name in feature.inputs]
        _demand(judge_on_demand(feature, inputs))
        return
    from mlops.adapters.objects import ObjectStore
    from mlops.rehearsal import compared
    from mlops.stores.embedded import EmbeddedStore

    with _stored(feature, source) as (store, written):
        online = EmbeddedStore(store.home / "online", ObjectStore(store.home / "online"))
        _demand([compared(feature, written, store.objects, (store, online), subject=feature.name)])


def assert_window(view: FeatureView, source: pd.DataFrame, window: str | None = None) -> None:
    """Fails where a row of `source` older than the view's `window` changes a row; `window` tries another one.

    >>> from mlops import feature_view
    >>> @feature_view(source="payments", entity="customer_id", timestamp="paid_at", window="2d")
    ... def total_v1(payments):
    ...     rows = payments.sort_values("paid_at")
    ...     total = rows.groupby("customer_id").rolling("2D", on="paid_at")["amount"].sum()
    ...     return rows[["customer_id", "paid_at"]].assign(total=total.to_numpy())
    >>> payments = frame('''
    ...     customer_id  paid_at     amount
    ...     7            2024-01-01  20.0
    ...     7            2024-01-02  30.0
    ...     7            2024-01-03  40.0
    ...     7            2024-01-05  50.0
    ... ''')
    >>> assert_window(total_v1, payments)
    >>> assert_window(total_v1, payments, "1h")
    Traceback (most recent call last):
    AssertionError: ... total_v1 looks back further than its window of 1h. ...
    """
    length: timedelta | None = duration(window) if window else view.window
    if length is None:
        raise ValueError(f'{view.name} declares no window; write window="7d" in its declaration, or give one here')
    _assert(dataclasses.replace(view, window=length), source, ("features.window",))


def assert_created(view: FeatureView, source: pd.DataFrame) -> None:
    """Fails where what the view says was known by a moment changes with rows that became known later.

    >>> from mlops import feature_view
    >>> @feature_view(source="payments", entity="customer_id", timestamp="paid_at", created="booked_at")
    ... def total_v1(payments):
    ...     rows = payments.sort_values("paid_at")
    ...     total = rows.groupby("customer_id")["amount"].cumsum()
    ...     return rows[["customer_id", "paid_at", "booked_at"]].assign(total=total)
    >>> late = frame('''
    ...     customer_id  paid_at     booked_at   amount
    ...     7            2024-01-01  2024-01-09  20.0
    ...     7            2024-01-02  2024-01-02  30.0
    ... ''')
    >>> assert_created(total_v1, late)
    Traceback (most recent call last):
    AssertionError: ... total_v1 ...
    """
    if view.created is None:
        raise ValueError(f'{view.name} declares no created; write created="COLUMN", when a row became known')
    _assert(view, source, ("features.known-ahead",))


def _assert(view: FeatureView, source: pd.DataFrame, checks: tuple[str, ...] | None) -> None:
    _call_once(view, source)
    findings = judge_view(view, source, time=view.timestamp if view.timestamp in source else None)
    wanted = [f for f in findings if checks is None or f.check in checks]
    if not wanted:  # a fault in what the view returns kept the property from being tried
        wanted = [dataclasses.replace(f, severity=Severity.FAIL) for f in findings]
    _demand(wanted)


def _demand(findings: Sequence[Finding]) -> None:
    fired = [f for f in findings if f.outcome is not Outcome.PASS and f.severity is Severity.FAIL]
    assert not fired, "\n".join(_sentence(f) for f in fired)  # noqa: S101 - this is an assertion for tests


def _call_once(feature: FeatureView | OnDemand, source: pd.DataFrame) -> None:
    # Through the declaration, so that the feature counts as tested.
    if isinstance(feature, OnDemand):
        feature(*(source[name.partition(".")[2] or name].copy() for name in feature.inputs))
    else:
        feature(source.copy())


@contextmanager
def _stored(view: FeatureView, source: pd.DataFrame) -> Iterator[tuple[EmbeddedStore, str]]:
    """A store in a temporary folder with the view's rows, and their name there."""
    from mlops.adapters.objects import ObjectStore
    from mlops.stores.embedded import EmbeddedStore

    with tempfile.TemporaryDirectory(prefix="mlops-testing-") as folder:
        store = EmbeddedStore(Path(folder), ObjectStore(Path(folder) / "objects"))
        yield store, store.write(view, view(source.copy()))


def _free(name: str, taken: str) -> str:
    return f"_{name}" if name == taken else name


def _sentence(finding: Finding) -> str:
    return f"{finding.message}\n  next: {finding.next_step}"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")] if "|" in line else line.split()


def _typed(cells: list[str]) -> pd.Series:
    import pandas as pd

    values = [_MISSING.get(cell, cell) for cell in cells]
    known = [value for value in values if value is not None]
    for convert in (_whole, _number, _truth, _time):
        try:
            typed = {value: convert(value) for value in known}
        except ValueError:
            continue
        return pd.Series([None if value is None else typed[value] for value in values])
    return pd.Series(values, dtype="object" if not known else None)


def _whole(cell: str) -> int:
    return int(cell)


def _number(cell: str) -> float:
    return float(cell)


def _truth(cell: str) -> bool:
    if cell.lower() not in ("true", "false"):
        raise ValueError(cell)
    return cell.lower() == "true"


def _time(cell: str) -> pd.Timestamp:
    import pandas as pd

    if not cell[:4].isdigit() or cell[4:5] != "-":
        raise ValueError(cell)
    return pd.Timestamp(cell)
