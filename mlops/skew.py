"""Value skew of a model's table against what a release was trained on, ranked by what it costs that release's model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops import champion
from mlops.adapters import parquet
from mlops.contract import Contract, model_inputs
from mlops.errors import MlopsError
from mlops.exhibits import Exhibit
from mlops.gates import data as gate
from mlops.gates.data import Ranking
from mlops.gates.skew_exhibits import of_skew
from mlops.release import Manifest
from mlops.serving.predictors import Prediction
from mlops.statistics import attribution, drift
from mlops.verdict import Finding, Record
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

NEXT_STEP = "the release of this run has learnt these rows; if the column moved by mistake, mend its feed and run again"
"""What a person does who reads the finding in the run that trains anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """The findings, the pictures, and how many rows there were on the smaller side."""

    findings: tuple[Finding, ...]
    exhibits: tuple[Exhibit, ...] = ()


def value_skew(workspace: Workspace, contract: Contract, assembled: Record, live: Manifest | None) -> Skew:
    """How the newest rows of a model's table differ from the training rows of the live release.

    Of large tables a seeded sample of `drift.MOST_ROWS` rows is read, so memory does not grow with the table. A skip
    with its reason where there is nothing to compare with.
    """
    if live is None:
        return Skew(findings=(gate.no_champion("first release: there is no training data to compare with"),))
    if not live.training or not workspace.objects.has(live.training):
        return Skew(findings=(gate.no_champion(f"the training data of {live.release} is not on this machine"),))
    seed = workspace.config.seed
    then = workspace.objects.path(live.training)
    # The newest rows are what the champion meets now; where there is no time, all rows are.
    sides = ("holdout",) if contract.timestamp else ("train", "holdout")
    today = [workspace.objects.path(assembled.outputs[side]) for side in sides]
    names = [c.name for c in contract.columns if c.name in set(parquet.columns(then))]
    before, rows_then = parquet.sample([then], parquet.columns(then), drift.MOST_ROWS, seed=seed)
    now, rows_now = parquet.sample(today, parquet.columns(today[0]), drift.MOST_ROWS, seed=seed)
    then_and_now = [{name: frame[name] for name in names} for frame in (before, now)]
    found = drift.shifts(*then_and_now, seed=seed)
    costs = ranked(workspace, live, [shift.column for shift in found if shift.found], before, now)
    least = min(rows_then, rows_now)
    findings = gate.judge_shifts(
        found,
        champion=live.release,
        ranked=costs,
        of=least if least > drift.MOST_ROWS else None,
        next_step=NEXT_STEP,
    )
    return Skew(findings=findings, exhibits=of_skew(found, costs, *then_and_now))


def ranked(workspace: Workspace, live: Manifest, moved: list[str], before: pd.DataFrame, now: pd.DataFrame) -> Ranking:
    """The moved columns by what they cost the live model; the reason where it cannot be asked."""
    if not moved:
        return Ranking()
    try:
        read, answers = champion.answers_of_columns(workspace, live)
    except MlopsError as error:
        return Ranking(reason=error.message)
    absent = [column.name for column in read.columns if column.name not in now or column.name not in before]
    if absent:
        return Ranking(reason=f"{live.release} reads {', '.join(absent)}, which this table does not have")
    inputs, then = model_inputs(now, read), model_inputs(before, read)
    read_by_it = [name for name in moved if name in inputs]
    spread = float(before[read.label].std()) if read.task == "regression" else 1.0
    costs = attribution.costs(
        read_by_it,
        {name: then[name] for name in read_by_it},
        inputs,
        lambda rows: _numbers(answers(rows), read, spread or 1.0),
        seed=workspace.config.seed,
    )
    return Ranking(costs=costs, unit=_unit(read, answers(inputs.head(1))), reason=f"{live.release} does not read it")


def _numbers(said: Prediction, contract: Contract, spread: float) -> NDArray[np.float64]:
    """Answers whose squared distance is a loss: probabilities, classes as 0 and 1, or numbers in label deviations."""
    if contract.task == "regression":
        return np.asarray(said.values, dtype=np.float64).reshape(-1, 1) / spread
    if said.probabilities is not None:
        return said.probabilities
    values = np.asarray(said.values)
    return np.column_stack([values == name for name in contract.classes]).astype(np.float64)


def _unit(contract: Contract, said: Prediction) -> str:
    if contract.task == "regression":
        return "of the label's variance"
    return "of Brier score" if said.probabilities is not None else "of accuracy"
