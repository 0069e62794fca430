"""What a model reads, resolved to names: fields of the source, columns of views, on-demand features; and its contract.

In the model's table a stored column goes by its short name (`mean_7d`), an on-demand feature by its function's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.contract import Column, Computed, Contract, Field, FieldKind, Stored
from mlops.declare import FeatureView, Model, OnDemand, Task
from mlops.discover import RESERVED, Catalog
from mlops.errors import DeclarationError, nearest
from mlops.statistics.kinds import kind_of
from mlops.stores.protocol import Lookup
from mlops.verdict import Record

if TYPE_CHECKING:
    import pandas as pd

ROW = RESERVED
"""The column that says at which position of the snapshot a row stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """`fields` are sent at the request, `lookups` are stored, `computed` on demand; `columns` go into the model."""

    fields: tuple[str, ...]
    lookups: tuple[Lookup, ...]
    computed: tuple[OnDemand, ...]
    columns: tuple[str, ...]


def _refuse_unknown_columns(model: Model, source: pd.DataFrame) -> None:
    asked: dict[str, tuple[str, ...]] = {
        "label": (model.label,),
        "timestamp": (model.timestamp,) if model.timestamp else (),
        "request": model.request or (),
        "segments": model.segments,
        "protected": model.protected,
        "ignore": model.ignore,
    }
    for argument, names in asked.items():
        for name in names:
            if name not in source:
                raise DeclarationError(
                    f"{model.origin}: {model.name}: the source {model.source!r} has no {argument} column {name!r}",
                    next_step=nearest(name, source.columns),
                )
    if model.label in (model.request or ()):
        raise DeclarationError(
            f"{model.origin}: {model.name} reads its own label {model.label!r}",
            next_step="take it out of request: it is not known at the request",
        )


def resolve(catalog: Catalog, model: Model, source: pd.DataFrame, features: Mapping[str, Record]) -> Reads:
    """What `model` reads of `source` and of the views' records; DeclarationError where that does not exist."""
    _refuse_unknown_columns(model, source)
    views, computed = catalog.pinned(model)
    lookups = tuple(_lookup(view, model, computed, source, features) for view in views)
    plain = [name for one in computed for name in one.inputs if "." not in name and name not in catalog.on_demands]
    entities = [view.entity for view in views]
    request = model.request
    if request is None:
        left_out = {model.label, model.timestamp, *model.ignore, *entities}
        request = tuple(name for name in source.columns if name not in left_out)
    fields = tuple(dict.fromkeys([*entities, *request, *plain]))
    for name in fields:
        if name not in source or name == model.label:
            raise DeclarationError(
                f"{model.origin}: {model.name} needs {name!r} at the request, but "
                + ("that is its label" if name == model.label else f"the source {model.source!r} has no such column"),
                next_step=nearest(name, [n for n in source.columns if n != model.label]),
            )
    pinned = [
        short
        for name in model.features
        for short in ([name] if name in catalog.on_demands else _short_names(name, lookups))
    ]
    _refuse_collisions(model, source, lookups, computed)
    columns = tuple(dict.fromkeys([*request, *pinned]))
    if not columns:
        raise DeclarationError(
            f"{model.origin}: {model.name} reads no column", next_step="give it features=[…] or request=[…]"
        )
    return Reads(fields=fields, lookups=lookups, computed=tuple(computed), columns=columns)


def _lookup(
    view: FeatureView, model: Model, computed: list[OnDemand], source: pd.DataFrame, features: Mapping[str, Record]
) -> Lookup:
    """The columns of a view that the model reads, or that an on-demand feature of it does."""
    if model.timestamp is None or view.entity not in source:
        lacking = "a timestamp" if model.timestamp is None else f"the column {view.entity!r} in {model.source!r}"
        raise DeclarationError(
            f"{model.origin}: {model.name} reads {view.name}, which takes the entity's past, but lacks {lacking}",
            next_step='declare timestamp="…", the time of the request' if model.timestamp is None else "add it",
        )
    written = features[view.name]
    there = tuple(written.facts["columns"])
    names = [*model.features, *(name for one in computed for name in one.inputs)]
    wanted = there if view.name in names else tuple(n.partition(".")[2] for n in names if n.startswith(f"{view.name}."))
    for column in wanted:
        if column not in there:
            raise DeclarationError(
                f"{model.origin}: {model.name} reads {view.name}.{column}, but {view.name} has no such column",
                next_step=nearest(column, there),
            )
    return Lookup(view=view, written=written.outputs["features"], columns={column: column for column in wanted})


def _short_names(name: str, lookups: tuple[Lookup, ...]) -> list[str]:
    view, _, column = name.partition(".")
    return [column] if column else [short for one in lookups if one.view.name == view for short in one.columns]


def _refuse_collisions(
    model: Model, source: pd.DataFrame, lookups: tuple[Lookup, ...], computed: list[OnDemand]
) -> None:
    owners: dict[str, str] = {str(name): f"the column of {model.source!r}" for name in source.columns}
    owners[ROW] = "the position of the row"
    named = [(column, f"{one.view.name}.{column} ({one.view.origin})") for one in lookups for column in one.columns]
    for name, owner in [*named, *((one.name, f"the on-demand feature at {one.origin}") for one in computed)]:
        if name in owners:
            raise DeclarationError(
                f"{model.origin}: {model.name} reads two columns called {name!r}: {owners[name]} and {owner}",
                next_step="read one of them only, or give one another name in a new version",
            )
        owners[name] = owner


def contract_of(
    model: Model, reads: Reads, table: pd.DataFrame, source: pd.DataFrame, *, task: Task, metric: str
) -> Contract:
    """What the model asks of a request and answers, with kinds and examples as its table and source have them.

    DeclarationError for a column that is neither a number nor text.
    """
    kinds = {name: _column_kind(model, table[name], name) for name in reads.columns}
    classes = () if task == "regression" else tuple(sorted(table[model.label].unique().tolist()))
    return Contract(
        model=model.name,
        task=task,
        metric=metric,
        label=model.label,
        classes=classes,
        fields=tuple(_field(name, source[name]) for name in reads.fields),
        stored=tuple(
            Stored(
                name=name,
                view=one.view.name,
                column=column,
                entity=one.view.entity,
                kind="string" if kind_of(table[name]) == "string" else "number",
                ttl_seconds=one.view.ttl.total_seconds() if one.view.ttl else None,
            )
            for one in reads.lookups
            for column, name in one.columns.items()
        ),
        computed=tuple(
            Computed(
                name=one.name,
                module=one.module,
                inputs=tuple(name.partition(".")[2] or name for name in one.inputs),
                kind="string" if kind_of(table[one.name]) == "string" else "number",
            )
            for one in reads.computed
        ),
        columns=tuple(kinds.values()),
        timestamp=model.timestamp,
    )


def _column_kind(model: Model, values: pd.Series, name: str) -> Column:
    kind = kind_of(values)
    if kind is None:
        raise DeclarationError(
            f"{model.origin}: {model.name} reads {name!r}, which holds {values.dtype}, not a number or text",
            next_step=f"add it to ignore=[{name!r}], declare it as timestamp, or derive a number from it in a feature",
        )
    return Column(name=name, kind="string" if kind == "string" else "number")


def _field(name: str, values: pd.Series) -> Field:
    import pandas as pd

    known = values.dropna()
    kind: FieldKind = "string"
    if pd.api.types.is_datetime64_any_dtype(values):
        kind = "timestamp"
    elif kind_of(values) == "number":
        is_bool = pd.api.types.infer_dtype(known, skipna=True) == "boolean"
        kind = "bool" if is_bool else "int" if pd.api.types.is_integer_dtype(values) else "float"
    example = None if known.empty else known.iloc[0]
    if kind == "timestamp" and example is not None:
        example = example.isoformat()
    elif example is not None:
        example = {"bool": bool, "int": int, "float": float, "string": str}[kind](example)
    return Field(name=name, kind=kind, nullable=bool(values.isna().any()), example=example)
