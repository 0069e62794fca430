"""Golden requests out of a held-out table, and the answers that a release gives to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.contract import Contract, FieldKind
from mlops.serving.predictors import Prediction
from mlops.serving.runtime import LoadedRelease

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Asked:
    """Golden requests: their rows in the held-out table, the requests, and the stored features they had."""

    rows: list[int]
    requests: list[dict[str, Any]]
    stored: list[dict[str, Any]]


def requests(table: pd.DataFrame, frame: pd.DataFrame, contract: Contract, count: int) -> Asked:
    """Up to `count` requests out of a table with labels; `frame` is its `model_inputs`, row by row.

    Their entity keys are distinct, and they cover the classes and the missing values that the table has.
    """
    possible = possible_rows(table, contract)
    part = table.iloc[possible]
    labels = part[contract.label].tolist() if contract.task != "regression" else [None] * len(part)
    entities = list(contract.entities)
    keys = list(part[entities].itertuples(index=False, name=None)) if entities else list(range(len(part)))
    missing = frame.iloc[possible].isna().to_numpy()
    rows = [int(possible[i]) for i in _positions(labels, missing, keys, count)]
    stored = {
        one.name: [plain(v, "float" if one.kind == "number" else "string") for v in table[one.name].iloc[rows]]
        for one in contract.stored
    }
    return Asked(rows, as_requests(table.iloc[rows], contract), _by_row(stored, len(rows)))


def possible_rows(table: pd.DataFrame, contract: Contract) -> Any:
    """The positions of the rows that can be requests: no field is missing that must be there."""
    import numpy as np

    must = [field.name for field in contract.fields if not field.nullable]
    return np.flatnonzero(table[must].notna().all(axis=1).to_numpy())


def as_requests(table: pd.DataFrame, contract: Contract) -> list[dict[str, Any]]:
    """The rows of a table as a caller would send them."""
    fields = {field.name: [plain(v, field.kind) for v in table[field.name]] for field in contract.fields}
    return _by_row(fields, len(table))


def _by_row(columns: Mapping[str, Sequence[Any]], count: int) -> list[dict[str, Any]]:
    return [{name: values[i] for name, values in columns.items()} for i in range(count)]


def plain(value: Any, kind: FieldKind) -> Any:
    """A cell of a table as the JSON value that a caller would send."""
    import pandas as pd

    if pd.isna(value):
        return None
    if kind == "timestamp":
        return pd.Timestamp(value).isoformat()
    return {"float": float, "int": int, "bool": bool, "string": str}[kind](value)


def ask(asked: Asked, payload: Path, source: Path) -> list[dict[str, Any]]:
    """What the release in `payload`, with its code in `source`, answers to the requests; raises what it raises."""
    loaded = LoadedRelease(release="", payload=payload, source=source, online=None)
    try:
        said = loaded.answer(loaded.decoder.convert(asked.requests), asked.stored)
    finally:
        loaded.close()
    return [{key: value for key, value in one.items() if key != "release"} for one in said]


def as_prediction(said: Sequence[Mapping[str, Any]], contract: Contract) -> Prediction:
    """Answers to requests as a prediction of so many rows."""
    import numpy as np

    values = np.array([one["prediction"] for one in said], dtype=object)
    if all("probability" in one for one in said):
        positive = np.array([one["probability"] for one in said], dtype=float)
        return Prediction(values, np.stack([1 - positive, positive], axis=1))
    if all("probabilities" in one for one in said):
        names = [str(name) for name in contract.classes]
        return Prediction(values, np.array([[one["probabilities"][n] for n in names] for one in said], dtype=float))
    return Prediction(values, None)


def _positions(labels: Sequence[Any], missing: Any, keys: Sequence[Any], count: int) -> list[int]:
    """Up to `count` rows with distinct `keys` that cover every label and every column's missing values.

    `missing` is (rows, columns) of truth values. First one row per label and per column with a missing value,
    then rows evenly spread.
    """
    import numpy as np

    rows = len(labels)
    wanted: list[int] = []
    for label in dict.fromkeys(labels):
        wanted += [i for i in range(rows) if labels[i] == label][:2]
    wanted += [int(np.argmax(column)) for column in missing.T if column.any()]
    wanted += [int(i) for i in np.linspace(0, rows - 1, num=min(rows, 4 * count))]
    chosen: dict[Any, int] = {}
    for row in wanted:
        if len(chosen) < count:
            chosen.setdefault(keys[row], row)
    return sorted(chosen.values())
