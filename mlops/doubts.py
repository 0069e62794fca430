"""The labels of a model's table that are likely wrong: the verdict over them, and the rows themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops import reviews
from mlops.adapters import label_issues, parquet
from mlops.contract import Contract, model_inputs
from mlops.exhibits import Exhibit, Table
from mlops.gates import label_noise as gate
from mlops.statistics import label_noise, sampling
from mlops.statistics.metrics import codes
from mlops.stores.reads import ROW
from mlops.verdict import Finding, Record
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

_Floats = np.ndarray[Any, np.dtype[np.float64]]

_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A row of the source whose label is doubted, by position; what is suggested, and how sure that is (0 to 1)."""

    row: int
    label: Any
    suggested: Any
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """The verdict, and the doubted rows, worst first."""

    finding: Finding
    rows: tuple[Doubt, ...] = ()
    by: str = "by a quick boosting"


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows that are looked at, of how many; labels as codes of `classes`, or as numbers where there are none."""

    inputs: pd.DataFrame
    labels: np.ndarray[Any, np.dtype[Any]]
    numbers: np.ndarray[Any, np.dtype[np.int64]]
    classes: tuple[Any, ...]
    of: int


def doubted(
    workspace: Workspace,
    contract: Contract,
    assembled: Record,
    *,
    estimator: Any = None,
    most: int = label_issues.MOST_ROWS,
) -> Doubts:
    """What models that never saw a row say against its label; of large tables `most` rows, drawn by class.

    `estimator` is the user's own, and is cloned; a quick boosting stands in where it is None, or gives no
    probabilities. Rows that a person has reviewed are no longer doubted.
    """
    paths = [workspace.objects.path(assembled.outputs[side]) for side in ("train", "holdout")]
    seed = workspace.config.seed
    rows = _rows(paths, contract, most, seed)
    if len(rows.labels) < label_noise.LEAST_ROWS or len(rows.classes) == 1:
        return Doubts(finding=gate.too_few(len(rows.labels)))
    settled = _settled(workspace, assembled)
    if contract.task == "regression":
        return _extreme(rows, contract, settled, seed, estimator)
    chances, by = _asked(
        estimator if hasattr(estimator, "predict_proba") else None,
        lambda model: label_issues.probabilities(rows.inputs, rows.labels, rows.classes, seed=seed, estimator=model),
    )
    open_rows = ~np.isin(rows.numbers, settled)
    ranked = [k for k in label_issues.suspicious(rows.labels, chances) if open_rows[k]]
    found = label_noise.contradicted(rows.labels[open_rows], chances[open_rows])
    finding = gate.judge_contradicted(
        found, rows.numbers[ranked].tolist(), model=contract.model, n=int(open_rows.sum()), of=rows.of
    )
    best = chances.argmax(axis=1)
    doubts = tuple(
        Doubt(
            row=int(rows.numbers[k]),
            label=rows.classes[rows.labels[k]],
            suggested=rows.classes[best[k]],
            confidence=float(chances[k, best[k]]),
        )
        for k in ranked
        if best[k] != rows.labels[k]
    )
    return Doubts(finding=finding, rows=doubts, by=by)


def in_doubt(doubts: Doubts) -> tuple[Exhibit, ...]:
    """The table of the worst doubted labels, where the verdict is that there are too many."""
    if not doubts.finding.fired:
        return ()
    rows = tuple((float(d.row), str(d.label), str(d.suggested), d.confidence) for d in doubts.rows[:_SHOWN])
    caption = f"{len(doubts.rows):,} labels are contradicted by models that never saw them; the worst {len(rows)}."
    return (
        Table(title="Labels in doubt", caption=caption, columns=("row", "label", "suggested", "confidence"), rows=rows),
    )


def _extreme(rows: _Rows, contract: Contract, settled: list[int], seed: int, estimator: Any) -> Doubts:
    said, by = _asked(
        estimator, lambda model: label_issues.numbers(rows.inputs, rows.labels, seed=seed, estimator=model)
    )
    scaled = label_noise.deviations(rows.labels, said)
    scaled[np.isin(rows.numbers, settled)] = 0.0
    ranked = np.argsort(-scaled, kind="stable")[: int((scaled > label_noise.EXTREME).sum())]
    finding = gate.judge_extreme(rows.numbers[ranked].tolist(), model=contract.model, n=len(rows.labels), of=rows.of)
    doubts = tuple(
        Doubt(
            row=int(rows.numbers[k]),
            label=float(rows.labels[k]),
            suggested=float(said[k]),
            confidence=float(1 - label_noise.EXTREME / scaled[k]),
        )
        for k in ranked
    )
    return Doubts(finding=finding, rows=doubts, by=by)


def _asked(estimator: Any, ask: Callable[[Any], _Floats]) -> tuple[_Floats, str]:
    """The answers of the user's own estimator, else of a quick boosting; and whose they are, in words."""
    if estimator is None:
        return ask(None), "by a quick boosting"
    try:
        return ask(estimator), "by the model's own pipeline, fitted anew"
    except Exception as error:  # noqa: BLE001 - a pipeline may not bear fewer rows; a boosting bears them
        return ask(None), f"by a quick boosting, as the model's own pipeline raised {type(error).__name__}: {error}"


def _rows(paths: list[Path], contract: Contract, most: int, seed: int) -> _Rows:
    """The drawn rows; classes with fewer rows than folds are left out, as nobody could learn them."""
    labels = parquet.take(paths, [contract.label], np.arange(_length(paths)))[contract.label]
    by_class = labels if contract.classes else None
    chosen = sampling.stratified(by_class, len(labels), most, seed=seed)
    names = list(dict.fromkeys([*(column.name for column in contract.columns), contract.label, ROW]))
    table = parquet.take(paths, names, chosen)
    of, classes = len(labels), contract.classes
    if classes:
        counts = table[contract.label].value_counts()
        classes = tuple(name for name in classes if counts.get(name, 0) >= label_issues.FOLDS)
        table = table[table[contract.label].isin(classes)].reset_index(drop=True)
    known = codes(table[contract.label], classes) if classes else table[contract.label].to_numpy(dtype=np.float64)
    return _Rows(model_inputs(table, contract), known, table[ROW].to_numpy(dtype=np.int64), tuple(classes), of)


def _length(paths: list[Path]) -> int:
    return sum(parquet.rows(path) for path in paths)


def _settled(workspace: Workspace, assembled: Record) -> list[int]:
    digest = assembled.outputs.get(reviews.REVIEWED)
    rows: list[int] = workspace.objects.get_json(digest) if digest else []
    return rows
