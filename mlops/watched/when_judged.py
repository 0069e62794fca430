"""What a live release said of the rows by which it was judged, and how good that was."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlops import champion
from mlops.adapters.index import Index
from mlops.contract import Contract
from mlops.gates.model import coded
from mlops.release import Manifest
from mlops.serving.predictors import Prediction
from mlops.statistics.decline import Level, assumed, level
from mlops.statistics.influence import Answers, measure
from mlops.workspace import Workspace


def judged(workspace: Workspace, live: Manifest, index: Index, like: Level) -> Level:
    """The release's metric on the rows by which it was judged; its error is estimated where these rows are gone."""
    found = _held_out(workspace, live, index)
    if found is not None:
        return level(measure(live.metric, found))
    return assumed(live.metrics[live.metric], int(live.metrics.get("holdout_rows", like.n)), like)


def answers_when_judged(workspace: Workspace, live: Manifest, index: Index) -> pd.DataFrame | None:
    """What the release said of its held-out rows, as `check-model` kept it; None where that is not on this machine."""
    record = index.find(live.records.get(f"check-model:{live.model}", ""))
    digest = "" if record is None else record.outputs.get("predictions", "")
    return workspace.frame(digest) if digest and workspace.objects.has(digest) else None


def answers_of(labels: pd.Series, said: Prediction, read: Contract) -> Answers:
    """Labels and answers as a metric takes them."""
    return coded(labels, said.values, said.probabilities, read.classes, read.classes)


def _held_out(workspace: Workspace, live: Manifest, index: Index) -> Answers | None:
    said = answers_when_judged(workspace, live, index)
    assembled = index.find(live.records.get(f"assemble:{live.model}", ""))
    digest = "" if assembled is None else assembled.outputs.get("holdout", "")
    if said is None or not digest or not workspace.objects.has(digest):
        return None
    read = champion.contract(workspace, live)
    labels = workspace.frame(digest)[read.label]
    chances = [said[name].to_numpy() for name in said if str(name).startswith("probability_")]
    prediction = Prediction(said["prediction"].to_numpy(), np.column_stack(chances) if chances else None)
    return answers_of(labels, prediction, read)
