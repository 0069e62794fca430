"""`review`: the labels of a model that are in doubt, in a file that people correct and a pull request shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlops import reviews
from mlops.adapters import models, review_file, schema_files
from mlops.adapters.review_file import Entry
from mlops.contract import Contract
from mlops.declare import Model
from mlops.doubts import Doubt, doubted
from mlops.gates import schema as schema_gate
from mlops.ingredients import review_file as place
from mlops.ingredients import schema_file
from mlops.stores.reads import ROW
from mlops.verdict import Finding, Record
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1

MOST_ROWS = 20_000
"""Rows of a table on which doubts are looked for: the model is fitted on them three times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The file's name ("" where there was nothing to write), doubts that are new or open, and what people wrote."""

    file: str
    finding: Finding
    found: int
    listed: int
    kept: int
    by: str


def review(
    workspace: Workspace, *, model: Model, snapshot: Record, assembled: Record, trained: Record | None, most: int
) -> Written:
    """Write the `most` worst labels of a model; what people wrote before stays, line for line."""
    file = place(model)
    source = workspace.frame(snapshot.outputs["data"])
    kept = [entry for entry in review_file.read(workspace.root / file, file) if entry.corrected]
    contract = msgspec.json.decode(workspace.objects.get(assembled.outputs["contract"]), type=Contract)
    doubts = doubted(workspace, contract, assembled, estimator=_estimator(workspace, trained), most=MOST_ROWS)
    listed = doubts.rows[:most]
    columns = _shown(source, contract)
    new = _entries(workspace, model, source, listed, columns)
    known = {(entry.row, entry.label) for entry in kept}
    fresh = list({(e.row, e.label): e for e in new if (e.row, e.label) not in known}.values())
    if fresh or kept:
        review_file.write(workspace.root / file, review_file.text_of([*kept, *fresh], columns))
    return Written(
        file=file if fresh or kept else "",
        finding=doubts.finding,
        found=len(doubts.rows),
        listed=len(fresh),
        kept=len(kept),
        by=doubts.by,
    )


def _estimator(workspace: Workspace, trained: Record | None) -> Any:
    """The user's own fitted pipeline; None where the training gave none."""
    digest = trained.outputs.get("model") if trained is not None else None
    if digest is None:
        return None
    return models.load(workspace.objects.path(digest), digest=digest, trusted=workspace.config.package.trusted)


def _entries(
    workspace: Workspace, model: Model, source: pd.DataFrame, doubts: tuple[Doubt, ...], columns: list[str]
) -> list[Entry]:
    rows = [doubt.row for doubt in doubts]
    names = reviews.names_of(source, rows, label=model.label, key=_key(workspace, model))
    cells = source.iloc[rows][columns]
    return [
        Entry(
            row=name,
            label=reviews.text_of_label(doubt.label),
            suggested=_suggestion(doubt.suggested),
            confidence=f"{doubt.confidence:.3f}",
            inputs=tuple("" if gone else str(value) for value, gone in zip(values, missing, strict=True)),
        )
        for doubt, name, values, missing in zip(
            doubts, names, cells.to_numpy(dtype=object), cells.isna().to_numpy(), strict=True
        )
    ]


def _suggestion(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else reviews.text_of_label(value)


def _shown(source: pd.DataFrame, contract: Contract) -> list[str]:
    """The source's columns that a person needs: all but the label, the model's own first."""
    read = [field.name for field in contract.fields]
    rest = [str(name) for name in source.columns if name not in (*read, contract.label, ROW)]
    return [*read, *rest]


def _key(workspace: Workspace, model: Model) -> str | None:
    path: Path = workspace.root / schema_file(workspace, model.source)
    try:
        return schema_gate.parse(schema_files.read(path)).key
    except (FileNotFoundError, ValueError):
        return None
