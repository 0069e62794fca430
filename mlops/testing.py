"""What a test of a feature needs: a small frame written as text, and assertions on a view's properties.

from mlops.testing import assert_no_look_ahead, frame
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlops.declare import FeatureView
from mlops.gates.properties import judge_view
from mlops.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd

_MISSING = {"-": None, "null": None, "NaN": None, "None": None}


def frame(text: str) -> pd.DataFrame:
    """A frame from a table in text: a line of names, then a line for each row; blanks or `|` between cells.

    Whole numbers, numbers, true and false, and ISO 8601 times (`2024-01-31T09:00`, a `Z` at the end for UTC) are
    told by their looks, column by column; `-` is missing. With `|`, cells may hold blanks.

        payments = frame('''
            customer_id  event_time        amount
            7            2024-01-01T09:00  20.00
            7            2024-01-03T09:00  -
        ''')
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


def _assert(view: FeatureView, source: pd.DataFrame, checks: tuple[str, ...] | None) -> None:
    _call_once(view, source)
    findings = judge_view(view, source, time=view.timestamp if view.timestamp in source else None)
    wanted = [f for f in findings if checks is None or f.check in checks]
    fired = [f for f in wanted if f.outcome is not Outcome.PASS and f.severity is Severity.FAIL]
    if not wanted:  # a fault in what the view returns kept the property from being tried
        fired = [f for f in findings if f.outcome is not Outcome.PASS]
    assert not fired, "\n".join(_sentence(f) for f in fired)  # noqa: S101 - this is an assertion for tests


def _call_once(view: Callable[..., Any], source: pd.DataFrame) -> None:
    # Through the declaration, so that the view counts as tested.
    view(source.copy())


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
