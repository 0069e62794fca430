"""`features diff`: the values of two views beside each other, on the rows that both have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from mlops import exhibits
from mlops.declare import FeatureView
from mlops.errors import UsageError, nearest
from mlops.exhibits import Exhibit, Plot, Series, Table
from mlops.stores.differences import QUANTILES, Difference, Written, compare
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1


def views(workspace: Workspace, first: str, second: str) -> tuple[FeatureView, FeatureView]:
    """The two views; UsageError where one does not exist, they are one, or they are of different entities."""
    known = workspace.catalog.views
    for name in (first, second):
        if name not in known:
            raise UsageError(f"there is no feature view {name!r}", next_step=nearest(name, known))
    one, other = known[first], known[second]
    if first == second:
        raise UsageError(f"{first} is one view", next_step="name two")
    if one.entity != other.entity:
        raise UsageError(
            f"{first} is of {one.entity}, {second} of {other.entity}: no row of one is a row of the other",
            next_step="name two views of one entity; `mlops features` shows them",
        )
    return one, other


def diff(workspace: Workspace, *, first: str, second: str, built: Mapping[str, Record]) -> Record:
    """Facts `difference` (second minus first), with exhibits; `built` are the views' build-features records."""
    one, other = views(workspace, first, second)
    written = [Written(view=view, written=built[view.name].outputs["features"]) for view in (one, other)]
    found = compare(workspace.objects, *written)
    output = workspace.objects.put(exhibits.encode(_exhibits(first, second, found)))
    return Record(
        step="features",
        subject=f"diff {first} {second}",
        outputs={exhibits.OUTPUT: output},
        metrics={"rows": float(found.rows)},
        facts={
            "first": first,
            "second": second,
            "difference": asdict(found),
            "summary": sentence(first, second, found),
        },
    )


def sentence(first: str, second: str, found: Difference) -> str:
    """What is told of two views in one sentence."""
    if not found.rows:
        return f"{first} and {second} have no row in common: none of one entity and time"
    if not found.columns:
        return f"{first} and {second} have {found.rows:,} rows in common, and no column"
    columns = f"{len(found.columns)} column{'' if len(found.columns) == 1 else 's'}"
    other = [one.name for one in found.columns if one.equal < 1.0]
    said = f"{', '.join(other)} differ" if len(other) > 1 else f"{other[0]} differs" if other else "all are equal"
    return f"{found.rows:,} rows and {columns} in common: {said}"


def _exhibits(first: str, second: str, found: Difference) -> list[Exhibit]:
    names = tuple(one.name for one in found.columns)
    shown: list[Exhibit] = [
        Table(
            title=f"What {first} and {second} have in common",
            caption=f"{found.rows:,} rows of one entity and time are in both.",
            columns=("", f"only in {first}", f"only in {second}"),
            rows=(
                ("rows", *found.only_rows),
                ("entities", *found.only_entities),
                ("columns", *(", ".join(some) or "none" for some in found.only_columns)),
            ),
        )
    ]
    if names:
        shown += [
            Plot(
                title="Rows that are equal",
                caption="Of the rows that both have; a column of 1 is the same in both.",
                kind="bars",
                x_label="share of rows",
                y_label="",
                series=(Series(name="equal", x=names, y=tuple(one.equal for one in found.columns)),),
            ),
            _columns(first, second, found),
            _rows(first, second, found),
        ]
    return shown


def _columns(first: str, second: str, found: Difference) -> Table:
    words = ["least", *(f"{100 * one:g} %" for one in QUANTILES[1:-1]), "most"]
    return Table(
        title=f"{second} minus {first}",
        caption="The difference of numbers, over the rows where both have one.",
        columns=("column", "equal", f"only {first} missing", f"only {second} missing", "mean", *words),
        rows=tuple(
            (one.name, one.equal, *one.missing, one.mean, *(one.quantiles or (None,) * len(QUANTILES)))
            for one in found.columns
        ),
    )


def _rows(first: str, second: str, found: Difference) -> Table:
    return Table(
        title="The rows that differ most",
        caption="Look at these by hand first.",
        columns=("column", "entity", "at", first, second),
        rows=tuple(
            (one.name, str(row.entity), str(row.at), _cell(row.first), _cell(row.second))
            for one in found.columns
            for row in one.examples
        ),
    )


def _cell(value: object) -> float | str | None:
    return value if value is None or isinstance(value, int | float) else str(value)
