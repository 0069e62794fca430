"""What a model reads and answers: the request's fields, stored and computed features, the model's columns.

One value describes it for training, for the packaged release and for the service, so they cannot differ.
A model's columns have two kinds only: `number` (float64, missing is NaN) and `string` (object, missing is
NaN), so a row looks alike in training, in ONNX and at the request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

FieldKind = Literal["float", "int", "bool", "string", "timestamp"]
ColumnKind = Literal["number", "string"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of the request. A nullable field may be null or left out."""

    name: str
    kind: FieldKind
    nullable: bool
    example: float | int | bool | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A stored feature: `name` in the model's table, read from `column` of `view` by the field `entity`."""

    name: str
    view: str
    column: str
    entity: str
    kind: ColumnKind
    ttl_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """An on-demand feature: `module`:`name` called with the table's columns `inputs`."""

    name: str
    module: str
    inputs: tuple[str, ...]
    kind: ColumnKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of the model's input."""

    name: str
    kind: ColumnKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """All that training, packaging and serving must agree on for one model.

    `classes` are the labels in the order of the probabilities (empty for regression); `positive` is the
    class whose probability is reported for binary models (`classes[1]`). `fields` are what a caller sends.
    """

    model: str
    task: Literal["binary", "multiclass", "regression"]
    metric: str
    label: str
    classes: tuple[str | int | float | bool, ...]
    fields: tuple[Field, ...]
    stored: tuple[Stored, ...]
    computed: tuple[Computed, ...]
    columns: tuple[Column, ...]
    timestamp: str | None = None

    @property
    def entities(self) -> tuple[str, ...]:
        """The request's fields that are keys of stored features."""
        return tuple(dict.fromkeys(s.entity for s in self.stored))

    @property
    def doubles(self) -> tuple[str, ...]:
        """Names that stand for two things, of which a request could give one for the other; a good one has none."""
        names = [one.name for group in (self.fields, self.stored, self.computed) for one in group]
        return tuple(dict.fromkeys(name for name in names if names.count(name) > 1))

    @property
    def positive(self) -> str | int | float | bool | None:
        """The class that a binary model's probability speaks of."""
        return self.classes[1] if self.task == "binary" else None

    def by_kind(self) -> tuple[list[str], list[str]]:
        """The names of the columns that are numbers and of those that are strings, each in order."""
        numbers = [c.name for c in self.columns if c.kind == "number"]
        return numbers, [c.name for c in self.columns if c.kind == "string"]


def model_inputs(table: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """The model's columns out of `table` (rows by columns), in order and in their two kinds."""
    import numpy as np
    import pandas as pd

    columns: dict[str, pd.Series] = {}
    for column in contract.columns:
        values = table[column.name]
        if column.kind == "number":
            columns[column.name] = pd.to_numeric(values).astype("float64")
        else:
            missing = values.isna()
            columns[column.name] = values.astype(str).astype(object).mask(missing, np.nan)
    return pd.DataFrame(columns, index=table.index)
