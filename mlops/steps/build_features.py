"""Computes a feature view over a snapshot and stores the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlops.adapters import user_code
from mlops.closure import code_digest
from mlops.declare import FeatureView
from mlops.errors import GateFailed, OutsideError
from mlops.gates.features import judge_shape
from mlops.stores import open_store
from mlops.verdict import Outcome, Record, Severity
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

VERSION = 2


def build_features(workspace: Workspace, *, view: FeatureView, snapshot: Record) -> Record:
    """The stored features of `view`; GateFailed where its function raises or returns what cannot be stored."""
    source = workspace.frame(snapshot.outputs["data"])
    frame = _computed(view, source.copy(), workspace.root)
    problems = [f for f in judge_shape(view, frame) if f.outcome is Outcome.FAIL and f.severity is Severity.FAIL]
    if problems:
        raise GateFailed(problems[0].message, next_step=problems[0].next_step)
    store = open_store(workspace)
    written = store.write(view, frame)
    about = store.statistics(view, written)
    return Record(
        step="build-features",
        subject=view.name,
        outputs={"features": written},
        metrics={"rows": float(about.rows), "entities": float(about.entities), "source_rows": float(len(source))},
        facts={
            "source": view.source,
            "entity": view.entity,
            "code": code_digest(view, workspace.root),
            "columns": {name: {"missing": round(c.missing, 6), "mean": c.mean} for name, c in about.columns.items()},
            "oldest": about.oldest,
            "newest": about.newest,
        },
    )


def _computed(view: FeatureView, source: pd.DataFrame, root: Path) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = view(source)
    except MemoryError as error:
        raise OutsideError(
            f"{view.origin}: {view.name} needs more memory than there is for {len(source)} rows",
            next_step="let the view select the columns it reads first",
        ) from error
    except Exception as error:
        place = user_code.innermost(error, root) or str(view.origin)
        raise GateFailed(
            f"{place}: {view.name} raised {type(error).__name__}: {error}",
            next_step=f"mend that line; a test that calls {view.name} with a small frame shows it at once",
        ) from error
    return frame
