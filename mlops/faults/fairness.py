"""A model that treats one group otherwise, and a protected column that nothing protects."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from mlops.config import Fairness
from mlops.declare import Task
from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.gates.fairness import judge_fairness
from mlops.statistics.influence import Answers
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

_LIMIT = 0.1


def cases(bench: Bench) -> Generator[Case]:
    """One group answered otherwise, no limit, and the model as it is.

    Without a protected column two halves of the rows stand in, with a limit of a tenth.
    """
    said, contract = bench.answers, bench.contract
    if said.actual.size < 4 * bench.settings.fairness.rows:
        return
    limits = bench.settings.fairness
    protected: Mapping[str, pd.Series] = {name: bench.holdout[name] for name in bench.model.protected}
    declared = bool(protected) and limits != Fairness(rows=limits.rows)
    if not declared:
        protected, limits = {"a_group": _halves(bench.holdout)}, Fairness(error=_LIMIT)

    def judge(answers: Answers, limit: Fairness) -> tuple[Finding, ...]:
        return judge_fairness(contract.task, answers, protected, limit, model=bench.model.family)

    name, values = next(iter(protected.items()))
    group = str(values.astype(str).value_counts().index[0])
    rows = (values.astype(str) == group).to_numpy()
    biased = [unfair(said, rows, contract.task)]
    if contract.task == "binary":
        biased.append(favoured(said, rows))
    where = f"[tool.mlops.models.{bench.model.family}] fairness"
    yield Case(
        fault=f"the group {name} = {group!r} treated otherwise",
        check="model.fairness",
        judge=lambda: [found for answers in biased for found in judge(answers, limits)],
        setting=where if declared else "",
    )
    yield Case(fault="no limit for a protected column", check="model.fairness", judge=lambda: judge(said, Fairness()))
    if declared:
        yield sound(lambda: judge(said, limits))
    else:
        right = Answers(said.actual, said.actual, said.probabilities)
        yield sound(lambda: judge(right, limits), "two groups treated alike")


def unfair(answers: Answers, rows: np.ndarray, task: Task) -> Answers:
    """Right everywhere but in some rows, where every answer is wrong."""
    if task == "regression":
        wrong = answers.actual + np.abs(answers.actual).max() + 1.0
    else:
        wrong = np.where(answers.actual == 0, 1.0, 0.0)
    return Answers(answers.actual, np.where(rows, wrong, answers.actual), answers.probabilities)


def favoured(answers: Answers, rows: np.ndarray) -> Answers:
    """Every answer is positive in some rows, and negative elsewhere."""
    return Answers(answers.actual, rows.astype(np.float64), answers.probabilities)


def _halves(table: pd.DataFrame) -> pd.Series:
    import pandas as pd

    sides = np.random.default_rng(0).random(len(table)) < 0.5
    return pd.Series(np.where(sides, "one", "other"), index=table.index)
