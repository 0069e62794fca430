"""The training set of a model: labelled rows, each with what was known at its time, in two sides, and the contract.

A row sees stored features strictly before its own time, as the service does. Where there is a time, the newest
rows are held out, and a training row's label was known when they began; else equal rows fall on one side by
their content. A label of two values such as "no" and "yes" is binary, and the second in sorted order is positive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from mlops import reviews
from mlops.adapters.review_file import read as review_entries
from mlops.config import ModelSettings
from mlops.contract import Contract
from mlops.declare import METRICS, Model, OnDemand, Task
from mlops.errors import DeclarationError, GateFailed, nearest
from mlops.gates.training_set import (
    judge_copies,
    judge_coverage,
    judge_label,
    judge_left_out,
    judge_reviewed,
    judge_sides,
)
from mlops.ingredients import digest_of, review_file
from mlops.reviews import REVIEWED
from mlops.statistics.kinds import inferred_task, kind_of, plain_labels
from mlops.statistics.split import by_content, by_time, moments
from mlops.stores import open_store
from mlops.stores.reads import ROW, Reads, contract_of, resolve
from mlops.verdict import Finding, Record, Verdict
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

VERSION = 2

DEFAULT_METRIC: dict[Task, str] = {"binary": "roc_auc", "multiclass": "balanced_accuracy", "regression": "r2"}


def assemble(
    workspace: Workspace,
    *,
    model: Model,
    snapshot: Record,
    features: Mapping[str, Record],
    settings: ModelSettings,
) -> Record:
    """Training rows, held-out rows and the contract of `model`; `features` are the records of the views it reads.

    A verdict of failure, without outputs, where the labels cannot teach anything. DeclarationError where the
    declaration does not fit the source.
    """
    source = workspace.frame(snapshot.outputs["data"])
    reads = resolve(workspace.catalog, model, source, features)
    source, reviewed = _corrected(workspace, model, source)
    table, left_out = _labelled(model, source)
    about_label = judge_label(model, table[model.label], rows=len(source))
    if about_label.fired:
        return _record(model, [about_label], metrics={"rows": float(len(source))})
    task, reason = _typed(model, table)
    missing = _join(workspace, model, table, reads)
    contract = contract_of(model, reads, table, source, task=task, metric=model.metric or DEFAULT_METRIC[task])
    train, holdout, split = _split(model, table, contract, settings)
    left_out |= {"gap": len(table) - int(train.sum()) - int(holdout.sum())}
    labels, file = table[model.label], review_file(model)
    findings = [
        about_label,
        *judge_sides(model, labels[train], labels[holdout], contract.classes, settings.min_rows),
        judge_copies(model, table, labels, reads.columns),
        *judge_coverage(model, missing, rows=len(table)),
        *judge_left_out(model, {reason: count for reason, count in left_out.items() if count}),
        *judge_reviewed(model, reviewed.corrected, reviewed.confirmed, file=file),
    ]
    return _record(
        model,
        findings,
        outputs={
            "train": workspace.put_frame(table[train].reset_index(drop=True)),
            "holdout": workspace.put_frame(table[holdout].reset_index(drop=True)),
            "contract": workspace.objects.put_json(contract),
            **({REVIEWED: workspace.objects.put_json(reviewed.rows)} if reviewed.rows else {}),
        },
        metrics={
            "rows": float(len(source)),
            "train_rows": float(train.sum()),
            "holdout_rows": float(holdout.sum()),
            "columns": float(len(contract.columns)),
            **{reason: float(count) for reason, count in left_out.items()},
            "labels_corrected": float(reviewed.corrected),
        },
        facts={
            **({"review": {file: digest_of(workspace.root / file)}} if reviewed.rows else {}),
            "task": task,
            "task_reason": reason,
            "metric": contract.metric,
            "classes": contract.classes,
            "split": split,
        },
    )


def _record(
    model: Model,
    findings: list[Finding],
    *,
    metrics: Mapping[str, float],
    outputs: Mapping[str, str] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Record:
    verdict = Verdict(gate="assemble", subject=model.name, findings=tuple(findings))
    plain = msgspec.to_builtins(facts or {})
    return Record(
        step="assemble", subject=model.name, outputs=outputs or {}, metrics=metrics, facts=plain, verdict=verdict
    )


def _corrected(workspace: Workspace, model: Model, source: pd.DataFrame) -> tuple[pd.DataFrame, reviews.Reviewed]:
    """The source with the labels that people corrected."""
    file = review_file(model)
    entries = review_entries(workspace.root / file, file)
    reviewed = reviews.apply(entries, source, label=model.label, task=model.task, file=file)
    return source.assign(**{model.label: reviewed.labels}) if reviewed.corrected else source, reviewed


def _labelled(model: Model, source: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows with a label that is old enough to be trusted, oldest first, and how many are left out, by reason."""
    import numpy as np

    table = source.assign(**{ROW: np.arange(len(source))})
    for name in table.columns:
        if table[name].dtype == object and name != model.label and kind_of(table[name]) == "number":
            table[name] = table[name].astype("float64")  # truth values with gaps
    known = source[model.label].notna()
    left_out = {"unlabelled": int((~known).sum())}
    if model.timestamp is not None:
        _refuse_untimely(model, source)
        times = source[model.timestamp]
        undated = known & times.isna()
        immature = known & (times > times.max() - model.label_delay) if model.label_delay else known & False
        left_out |= {"undated": int(undated.sum()), "immature": int(immature.sum())}
        table = table[known & ~undated & ~immature].sort_values(model.timestamp, kind="stable")
    else:
        table = table[known]
    return table.reset_index(drop=True), left_out


def _refuse_untimely(model: Model, source: pd.DataFrame) -> None:
    import pandas as pd

    dtype = source[model.timestamp].dtype
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return
    if pd.api.types.is_numeric_dtype(dtype) and not model.label_delay and not model.features:
        return  # a number that grows with time is enough to split by
    raise DeclarationError(
        f"{model.origin}: {model.name}: the timestamp {model.timestamp!r} is {dtype}, not a time",
        next_step=f'name it in [tool.mlops.sources.{model.source}.timestamps]: {model.timestamp} = "" for ISO 8601',
    )


def _typed(model: Model, table: pd.DataFrame) -> tuple[Task, str]:
    """The task and why it is that one; the labels of `table` become of its kind."""
    table[model.label] = plain_labels(table[model.label])
    task, reason = _task(model, table[model.label])
    if task == "regression":
        table[model.label] = table[model.label].astype("float64")
    return task, reason


def _task(model: Model, labels: pd.Series) -> tuple[Task, str]:
    found, reason = inferred_task(labels)
    task = model.task or found
    if model.task is not None:
        reason = "declared"
        if task == "binary" and labels.nunique() != 2:
            raise _refused_task(model, f"has {labels.nunique()} values, but a binary task has 2", found)
        if task == "regression" and kind_of(labels) != "number":
            raise _refused_task(model, "is not a number, but a regression predicts one", found)
    if model.metric is not None and task not in METRICS[model.metric]:
        fitting = ", ".join(name for name, tasks in METRICS.items() if task in tasks)
        raise DeclarationError(
            f"{model.origin}: {model.name}: the metric {model.metric!r} does not judge a {task} model ({reason})",
            next_step=f"choose one of {fitting}, or declare task=",
        )
    return task, reason


def _refused_task(model: Model, problem: str, found: Task) -> GateFailed:
    return GateFailed(
        f"{model.origin}: {model.name}: the label {model.label!r} {problem}",
        next_step=f"declare task={found!r}, or look at the source",
    )


def _join(workspace: Workspace, model: Model, table: pd.DataFrame, reads: Reads) -> dict[str, float]:
    """Adds stored and on-demand columns to `table`; gives the share of rows without any value, by view."""
    missing: dict[str, float] = {}
    if reads.lookups and model.timestamp is not None:
        found = open_store(workspace).point_in_time(table, reads.lookups, timestamp=model.timestamp)
        for lookup in reads.lookups:
            columns = list(lookup.columns.values())
            missing[lookup.view.name] = float(found[columns].isna().all(axis=1).mean())
        for name in found.columns:
            table[name] = found[name]
    for one in reads.computed:
        table[one.name] = _computed(one, table)
    return missing


def _computed(one: OnDemand, table: pd.DataFrame) -> pd.Series:
    import pandas as pd

    series = [table[name.partition(".")[2] or name].copy() for name in one.inputs]
    try:
        result = one(*series)
    except Exception as error:
        raise GateFailed(
            f"{one.origin}: {one.name} raised {type(error).__name__}: {error}",
            next_step=f"call it with a few values in a test; its inputs are {', '.join(one.inputs)}",
        ) from error
    if not isinstance(result, pd.Series) or len(result) != len(table) or kind_of(result) is None:
        got = f"{len(result)} values of {result.dtype}" if isinstance(result, pd.Series) else type(result).__name__
        raise GateFailed(
            f"{one.origin}: {one.name} gave {got} for {len(table)} rows",
            next_step="return one Series of numbers or strings, as long as the inputs",
        )
    values = result.set_axis(table.index)
    return values.astype("float64") if kind_of(values) == "number" else values


def _split(
    model: Model, table: pd.DataFrame, contract: Contract, settings: ModelSettings
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
    if settings.split_column is not None:
        return _split_by_entity(model, table, settings.split_column, settings.holdout)
    if model.timestamp is None:
        holdout = by_content(table, [f.name for f in contract.fields], settings.holdout)
        return ~holdout, holdout, {"kind": "content", "share": settings.holdout}
    times = table[model.timestamp]
    gap = int(model.label_delay.total_seconds() * 1e6)
    train, holdout = by_time(moments(times), settings.holdout, gap)
    facts = {"kind": "time", "share": settings.holdout, "gap_seconds": gap / 1e6}
    if train.any() and holdout.any():
        facts |= {"train_until": str(times[train].max()), "holdout_from": str(times[holdout].min())}
    return train, holdout, facts


def _split_by_entity(
    model: Model, table: pd.DataFrame, column: str, share: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
    """Who is held out is drawn by a hash: an entity stays on its side when others come or go, on any machine."""
    if column not in table or column == model.label:
        raise DeclarationError(
            f'{model.origin}: {model.name} is split by "entity:{column}", but '
            + ("that is its label" if column == model.label else f"the source {model.source!r} has no such column"),
            next_step=nearest(column, [str(name) for name in table.columns if name not in (model.label, ROW)]),
        )
    holdout = by_content(table, [column], share)
    counts = {
        side: int(table.loc[mask, column].nunique()) for side, mask in (("train", ~holdout), ("holdout", holdout))
    }
    facts = {"kind": "entity", "column": column, "share": share}
    return ~holdout, holdout, {**facts, **{f"{side}_entities": count for side, count in counts.items()}}
