"""What is found out about a table before there is a project: how it is read, its task, what its columns are for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlops.adapters import sources, timestamps
from mlops.config import Source
from mlops.declare import Task
from mlops.errors import GateFailed, UsageError, nearest
from mlops.statistics import profile
from mlops.statistics.kinds import kind_of

if TYPE_CHECKING:
    import pandas as pd


def read(place: str, timestamp: str | None, settings: Mapping[str, Any], *, root: Path) -> tuple[Source, sources.Table]:
    """The source as it must be written down to be read right, and its table."""
    given = dict(settings)
    forms = dict(given.pop("timestamps", {}))
    try:
        source = msgspec.convert({"path": place, **given}, Source)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"a setting of the source is wrong: {error}", next_step="`mlops init --help` shows them"
        ) from None
    if "encoding" not in given:
        source = msgspec.structs.replace(source, encoding=sources.encoding_of(source, root=root))
    table = sources.read(source, name="", root=root)
    if timestamp is None and not forms:
        return source, table
    for column in dict.fromkeys([*forms, *([timestamp] if timestamp else [])]):
        _demand_column(column, table, what="timestamp")
    if timestamp and timestamp not in forms:
        forms |= _form(table, timestamp)
    source = msgspec.structs.replace(source, timestamps=forms)
    return source, sources.read(source, name="", root=root) if forms else table


def task_of(frame: pd.DataFrame, label: str, wanted: Task | None, table: sources.Table) -> tuple[Task, str]:
    """The task, and the sentence that says why it is that one."""
    _demand_column(label, table, what="label")
    values = frame[label]
    try:
        found, why = profile.task_of(values)
    except ValueError as error:
        raise GateFailed(
            f"the label {label!r} cannot be learned: {error}", next_step="choose another --label"
        ) from None
    if wanted is None or wanted == found:
        return found, why
    is_number = kind_of(values.dropna()) == "number"
    fits = {"binary": values.nunique() == 2, "multiclass": values.nunique() <= profile.MANY_CLASSES}
    if not fits.get(wanted, is_number):
        raise UsageError(f"{why}: no {wanted} task", next_step=f"leave --task out, it is {found}")
    return wanted, f"--task says so, and {why}"


def columns_of(
    frame: pd.DataFrame, *, label: str, timestamp: str | None, ignore: Sequence[str]
) -> tuple[profile.Column, ...]:
    """The columns by their part in the model; GateFailed where nothing is left to learn from."""
    for name in ignore:
        if name not in frame.columns:
            raise UsageError(
                f"--ignore names the column {name!r}, which is not there", next_step=nearest(name, frame.columns)
            )
    found = profile.columns_of(frame, label=label, leave_out=(timestamp,) if timestamp else ())
    columns = tuple(_judged(column, frame, ignore) for column in found)
    if all(column.role == "ignore" for column in columns):
        told = "; ".join(f"{c.name} {c.why}" for c in columns) or "there is no other column"
        raise GateFailed(f"nothing is left to learn {label!r} from: {told}", next_step="give a table with more columns")
    return columns


def _form(table: sources.Table, name: str) -> dict[str, str]:
    """How the column writes its times, as a source's `timestamps`; empty where they are times already."""
    import pandas.api.types as kinds

    values = table.rows[name].to_pandas()
    if kinds.is_datetime64_any_dtype(values):
        return {}
    if kinds.is_numeric_dtype(values):
        values = (
            values.astype("Int64").astype("string") if (values.dropna() % 1 == 0).all() else values.astype("string")
        )
    found = timestamps.form_of(values.astype(object))
    if found.bad is not None:
        said = (
            f"; {found.share:.1%} of the values have the form {found.form or 'ISO 8601'}" if found.share > 0.5 else ""
        )
        raise GateFailed(
            f"{table.where(found.bad)}: {name} = {values.iloc[found.bad]!r} is not a time{said}",
            next_step="mend the value, say `--missing VALUE` if it means missing, or choose another --timestamp",
        )
    if found.others:
        raise UsageError(
            f"every value of {name!r} can be read as {found.form} and as {found.others[0]}",
            next_step=f"say which by `--timestamp-format '{found.form}'`",
        )
    return {name: found.form}


def _judged(column: profile.Column, frame: pd.DataFrame, ignore: Sequence[str]) -> profile.Column:
    if column.name in ignore:
        return profile.Column(name=column.name, role="ignore", why="is left out by --ignore")
    if column.role in ("code", "ignore") and timestamps.looks_like_time(frame[column.name]):
        return profile.Column(name=column.name, role="ignore", why="holds times; turn them into features to use them")
    return column


def _demand_column(name: str, table: sources.Table, *, what: str) -> None:
    if name not in table.rows.column_names:
        raise UsageError(
            f"{table.origin} has no {what} column {name!r}", next_step=nearest(name, table.rows.column_names)
        )
