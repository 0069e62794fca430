"""What a release said of a file's rows, as a table: the row, its keys, the prediction, and which release it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops.contract import Contract
from mlops.errors import UsageError
from mlops.serving.tabular import Checked

if TYPE_CHECKING:
    import pyarrow as pa

ROW = "row"
"""The column with a row's position in the file, from 0, the header not counted."""


def names(contract: Contract) -> tuple[str, ...]:
    """The columns of an answer; a multiclass model has a probability for each class."""
    chances: tuple[str, ...] = ()
    if contract.task == "binary":
        chances = ("probability",)
    elif contract.task == "multiclass":
        chances = tuple(f"probability.{name}" for name in contract.classes)
    return ("prediction", *chances, "release")


def demand_distinct(keys: Sequence[str], contract: Contract) -> None:
    """UsageError where a kept column is called as one of ours."""
    for name in keys:
        if name == ROW or name in names(contract):
            raise UsageError(
                f"the column {name!r} is the answer's own", next_step="rename it in the file, or keep another one"
            )


def table(
    batch: pa.Table, found: Checked, said: Sequence[Mapping[str, Any]], keys: Sequence[str], contract: Contract,
    *, first: int,
) -> pa.Table:  # fmt: skip
    """The answers `said` of the rows that were `found` good in a batch whose first row is number `first`."""
    import pyarrow as pa

    kinds = {field.name: field.kind for field in contract.fields}
    columns: dict[str, Any] = {ROW: pa.array([first + at for at in found.positions], pa.int64())}
    for name in keys:
        if name in kinds:
            columns[name] = pa.array([row[name] for row in found.rows], _arrow(kinds[name]))
        else:
            columns[name] = batch.column(name).take(pa.array(found.positions, pa.int64()))
    label = pa.float64() if contract.task == "regression" else pa.array(list(contract.classes)).type
    columns["prediction"] = pa.array([one["prediction"] for one in said], label)
    for name in names(contract)[1:-1]:
        columns[name] = pa.array([_chance(one, name) for one in said], pa.float64())
    columns["release"] = pa.array([one["release"] for one in said], pa.string())
    return pa.table(columns)


def bad_schema() -> pa.Schema:
    """The columns of the file with the rows that are no request."""
    import pyarrow as pa

    return pa.schema(
        [
            (ROW, pa.int64()),
            ("line", pa.int64()),
            ("column", pa.string()),
            ("value", pa.string()),
            ("reason", pa.string()),
        ]
    )


def _chance(one: Mapping[str, Any], name: str) -> float | None:
    if name == "probability":
        chance: float | None = one.get("probability")
        return chance
    chances = one.get("probabilities")
    return None if chances is None else chances[name.partition(".")[2]]


def _arrow(kind: str) -> pa.DataType:
    import pyarrow as pa

    return {
        "float": pa.float64(),
        "int": pa.int64(),
        "bool": pa.bool_(),
        "string": pa.string(),
        "timestamp": pa.timestamp("us"),
    }[kind]
