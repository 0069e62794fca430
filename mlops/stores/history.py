"""A view's written history: one Parquet file, or several that a small JSON object names, all in the object store."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.declare import FeatureView
from mlops.errors import DeclarationError
from mlops.stores.joins import NOTHING, is_number

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from mlops.adapters.objects import ObjectStore

_PARQUET = b"PAR1"
_PARTS = "parts"


def write(objects: ObjectStore, view: FeatureView, features: pd.DataFrame) -> str:
    """Store rows sorted by entity and time, times in UTC microseconds without a zone; gives their digest."""
    _refuse_columns(view, features)
    keys = list(view.keys)
    times = {name: utc(features[name], name, view) for name in keys[1:]}
    table = features.reset_index(drop=True).assign(**{name: t.reset_index(drop=True) for name, t in times.items()})
    table = table.assign(**{str(name): plain(table[name]) for name in table.columns})
    table[view.entity] = whole(table[view.entity])
    buffer = io.BytesIO()
    try:
        table = table.drop_duplicates(keys, keep="last").sort_values(keys, kind="stable")
        table.to_parquet(buffer, index=False, compression="zstd", coerce_timestamps="us")
    except (TypeError, ValueError) as error:  # pyarrow's errors are ValueErrors and TypeErrors
        raise DeclarationError(
            f"{view.origin}: {view.name} cannot be stored: {error}", next_step="give each column one type"
        ) from error
    return objects.put(buffer.getvalue())


def gather(objects: ObjectStore, view: FeatureView, names: Sequence[str]) -> str:
    """One name for all the parts; DeclarationError where a column is a number in one part and text in another."""
    found = sorted({part for name in names for part in _named(objects, name)})
    if not found:
        raise ValueError(f"{view.name}: a history has one part at least")
    _refuse_mixed_kinds(view, [objects.path(part) for part in found])
    return found[0] if len(found) == 1 else objects.put_json({_PARTS: found})


def parts(objects: ObjectStore, written: str) -> list[Path]:
    """The verified files of a history."""
    return [objects.path(name) for name in _named(objects, written)]


def columns(connection: duckdb.DuckDBPyConnection, files: Sequence[str]) -> dict[str, str]:
    """Each stored column and its type in DuckDB's words, over all parts."""
    rows = connection.execute("DESCRIBE SELECT * FROM read_parquet(?, union_by_name = true)", [files]).fetchall()
    return {row[0]: row[1] for row in rows}


def utc(times: pd.Series, name: str, view: FeatureView) -> pd.Series:
    """Times in UTC microseconds without a zone, rounded down; DeclarationError for what is no time."""
    import pandas as pd

    reason = f"it holds {times.dtype}"
    if not pd.api.types.is_numeric_dtype(times.dtype):
        try:
            # Rounded down first: how a change of unit rounds is not promised.
            return pd.to_datetime(times, utc=True).dt.tz_localize(None).dt.floor("us").dt.as_unit("us")
        except (TypeError, ValueError) as error:
            reason = str(error)
    raise DeclarationError(
        f"{view.origin}: the timestamp {name!r} of {view.name} is not a time: {reason}",
        next_step=f"name it in [tool.mlops.sources.{view.source}.timestamps], or use pd.to_datetime",
    )


def plain(values: pd.Series) -> pd.Series:
    """Categories as the values they stand for: a request knows no categories."""
    import pandas as pd

    return values.astype(values.cat.categories.dtype) if isinstance(values.dtype, pd.CategoricalDtype) else values


def whole(keys: pd.Series) -> pd.Series:
    """Keys that are floats only because some are missing, as the whole numbers they are."""
    import pandas as pd

    if not pd.api.types.is_float_dtype(keys.dtype):
        return keys
    known = keys.dropna()
    is_whole = bool(((known % 1 == 0) & (known.abs() < 2**63)).all())
    return keys.astype("Int64") if is_whole else keys


def _named(objects: ObjectStore, written: str) -> list[str]:
    place = objects.path(written)
    with place.open("rb") as file:
        if file.read(len(_PARQUET)) == _PARQUET:
            return [written]
    names: list[str] = objects.get_json(written)[_PARTS]
    return names


def _refuse_columns(view: FeatureView, features: pd.DataFrame) -> None:
    names = [str(name) for name in features.columns]
    for name in view.keys:
        if name not in names:
            raise DeclarationError(
                f"{view.origin}: {view.name} did not return the column {name!r}",
                next_step=f"it returned {', '.join(names)}; change the function or the declaration",
            )
    folded = [name.casefold() for name in names]
    alike = [name for name in names if folded.count(name.casefold()) > 1]
    if alike:
        raise DeclarationError(
            f"{view.origin}: {view.name} returned columns that differ only in upper and lower case: {', '.join(alike)}",
            next_step="databases take them for one: give one of them another name",
        )


def _refuse_mixed_kinds(view: FeatureView, files: Sequence[Path]) -> None:
    """Numbers and text under one name would all become text; say so instead."""
    first: dict[str, tuple[bool, str]] = {}
    names: set[str] | None = None
    with duck() as connection:
        for file in files:
            kinds = columns(connection, [str(file)])
            if names is not None and set(kinds) != names:
                odd = ", ".join(sorted(set(kinds) ^ names))
                raise _mixed(view, f"the column {odd} is in some parts of the history only")
            names = set(kinds)
            for name, kind in kinds.items():
                if kind == NOTHING:
                    continue
                known = first.setdefault(name, (is_number(kind), kind))
                if known[0] != is_number(kind):
                    problem = f"{name} is {known[1].lower()} in one part of the history, {kind.lower()} in another"
                    raise _mixed(view, problem)


def _mixed(view: FeatureView, problem: str) -> DeclarationError:
    return DeclarationError(f"{view.origin}: {view.name}: {problem}", next_step="return the same columns for any rows")


def duck() -> duckdb.DuckDBPyConnection:
    """A connection of its own to nothing but memory."""
    import duckdb

    return duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "true"})
