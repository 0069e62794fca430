"""Two sides of a training set that do not belong together: what deepchecks must find."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.faults.columns import as_number
from mlops.gates import questions
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd


def cases(bench: Bench) -> Generator[Case]:
    """Rows on both sides, another label, a leak that ends, and the sides as they are."""
    deepchecks, contract = bench.deepchecks, bench.contract
    if deepchecks is None:
        return

    def judge(train: pd.DataFrame, holdout: pd.DataFrame, only: str = "") -> tuple[Finding, ...]:
        asked = dataclasses.replace(questions.of_sides(contract, train, holdout, seed=bench.seed), only=only)
        return asked.findings(deepchecks.run(asked))

    numbers = [column.name for column in contract.columns if column.kind == "number"]
    planted = faults(bench.train, bench.holdout, label=contract.label, numbers=numbers)
    for fault, (check, train, holdout) in planted.items():
        yield Case(fault=fault, check=f"deepchecks.train_test.{check}", judge=partial(judge, train, holdout, check))
    yield sound(lambda: judge(bench.train, bench.holdout))


def faults(
    train: pd.DataFrame, holdout: pd.DataFrame, *, label: str, numbers: Sequence[str]
) -> dict[str, tuple[str, pd.DataFrame, pd.DataFrame]]:
    """By name, the check of deepchecks' train-test suite that must fire, and the two sides.

    `numbers` are numeric inputs; the first is replaced by the label on the training side.
    """
    faults = {"held-out rows trained on": ("TrainTestSamplesMix", holdout, holdout)}
    moved = _moved_label(holdout, label)
    if moved is not None:
        faults["the label moved"] = ("LabelDrift", train, moved)
    if numbers:
        random = np.random.default_rng(0)
        told, noise = train.assign(**{numbers[0]: as_number(train[label])}), random.normal(size=len(holdout))
        faults["a leak that ends"] = ("FeatureLabelCorrelationChange", told, holdout.assign(**{numbers[0]: noise}))
    return faults


def _moved_label(holdout: pd.DataFrame, label: str) -> pd.DataFrame | None:
    import pandas as pd

    values = holdout[label]
    if pd.api.types.is_float_dtype(values.dtype) and values.nunique() > 20:
        return holdout.assign(**{label: values + 2 * values.std()})
    rare = values.value_counts().index[-1]
    return holdout.assign(**{label: values.where(np.arange(len(values)) % 10 == 0, rare)})
