"""What deepchecks is asked about a source, about a model's two sides, and about a model's answers.

A question holds a small table that stands for the whole, what its columns are, and the checks that apply.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.contract import Contract
from mlops.declare import Model
from mlops.gates import deepchecks as suites
from mlops.gates.deepchecks_specs import Suite
from mlops.statistics import sampling
from mlops.statistics.influence import Answers
from mlops.statistics.kinds import inferred_task
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = 20_000
"""Rows of a table, or of each side, that deepchecks sees: a million take it minutes and gigabytes."""

_TAKEN = ("count", "_dc_index")
"""Names that ConflictingLabels gives to columns of its own; it crashes on a table that has them."""

_PREDICTION, _PROBABILITY = "__prediction", "__probability_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A suite asked about `train` (and `test`), a sample of `of` rows; `described` says what the columns are.

    `only` names the one check that is asked, where it is not the whole suite.
    """

    suite: Suite
    subject: str
    situation: suites.Situation
    train: pd.DataFrame
    described: Mapping[str, Any]
    of: int
    test: pd.DataFrame | None = None
    only: str = ""

    def __post_init__(self) -> None:
        """Columns with a name that deepchecks takes for itself get another one, in all that is asked."""
        others = {name: f"{name} (column)" for name in _TAKEN if name in self.train}
        if others:
            object.__setattr__(self, "train", self.train.rename(columns=others))
            object.__setattr__(self, "test", None if self.test is None else self.test.rename(columns=others))
            object.__setattr__(self, "described", {k: _renamed(v, others) for k, v in self.described.items()})

    @property
    def checks(self) -> Sequence[Mapping[str, Any]]:
        """The checks that apply, as deepchecks' process takes them."""
        specs = suites.asked(self.suite, self.situation)
        return suites.job_checks(spec for spec in specs if self.only in ("", spec.check))

    def findings(self, answers: Iterable[suites.Answer]) -> tuple[Finding, ...]:
        """One finding per check of the suite, asked for or not; of the one that alone was to be asked."""
        n = len(self.train) + (0 if self.test is None else len(self.test))
        found = suites.findings(self.suite, self.situation, answers, subject=self.subject, n=n, of=self.of)
        return tuple(one for one in found if self.only in ("", one.check.rpartition(".")[2]))


def of_source(
    frame: pd.DataFrame, *, source: str, key: str | None, reader: Model | None, seed: int, of: int | None = None
) -> Question:
    """The integrity suite over a source; `reader` is a model that takes its label from it, `key` its unique key.

    With `of` the frame is a sample of so many rows already, drawn by content.
    """
    timestamp = reader.timestamp if reader is not None and is_time(frame, reader.timestamp) else None
    table, task, label = frame, "", None
    if reader is not None:
        label = reader.label
        table = frame[frame[label].notna()].reset_index(drop=True)
        task = reader.task or inferred_task(table[label])[0]
    key = None if key == label else key
    ignored = {label, timestamp, key, *(reader.ignore if reader is not None else ())}
    features = [str(name) for name in table.columns if name not in ignored and not is_time(table, name)]
    wanted = list(dict.fromkeys([*features, *(name for name in (label, timestamp, key) if name is not None)]))
    drawn = table if of is not None else table.iloc[sampling.by_content(table, features, SAMPLE)]
    sample = drawn[wanted].reset_index(drop=True)
    return Question(
        suite="integrity",
        subject=source,
        situation=suites.Situation(task=task, timestamp=timestamp is not None, key=key is not None),
        train=sample,
        of=len(table) if of is None else of,
        described=_described(
            features,
            _words(sample, features),
            label=label,
            task=task or None,
            classes=_encode(sample, label, task),
            index=key,
            timestamp=timestamp,
            seed=seed,
        ),
    )


def of_sides(
    contract: Contract, train: pd.DataFrame, holdout: pd.DataFrame, *, seed: int, split: str = "time"
) -> Question:
    """The train-test suite over the two sides of a model's table; by time they must follow each other, else not."""
    timestamp = contract.timestamp if split == "time" and is_time(train, contract.timestamp) else None
    columns = [*(c.name for c in contract.columns), contract.label, *([timestamp] if timestamp else [])]
    sides = [_side(contract, side, columns, seed) for side in (train, holdout)]
    return Question(
        suite="train_test",
        subject=contract.model,
        situation=suites.Situation(task=contract.task, timestamp=timestamp is not None),
        train=sides[0],
        test=sides[1],
        of=len(train) + len(holdout),
        described=_of_contract(contract, timestamp=timestamp, seed=seed),
    )


def of_answers(
    contract: Contract, train: tuple[pd.DataFrame, Answers], holdout: tuple[pd.DataFrame, Answers], *, seed: int
) -> Question:
    """The model-evaluation suite over a model's inputs and its answers to them, both sides."""
    tables = [_with_answers(contract, inputs, answers, seed) for inputs, answers in (train, holdout)]
    chances = [str(name) for name in tables[0].columns if str(name).startswith(_PROBABILITY)]
    return Question(
        suite="model_evaluation",
        subject=contract.model,
        situation=suites.Situation(task=contract.task, probabilities=bool(chances)),
        train=tables[0],
        test=tables[1],
        of=len(train[0]) + len(holdout[0]),
        described=_of_contract(contract, prediction=_PREDICTION, probabilities=chances, seed=seed),
    )


def is_time(frame: pd.DataFrame, name: Any) -> bool:
    """Whether a column is there and holds times."""
    return name is not None and name in frame and getattr(frame[name].dtype, "kind", "") == "M"


def _side(contract: Contract, side: pd.DataFrame, columns: Sequence[str], seed: int) -> pd.DataFrame:
    labels = side[contract.label] if contract.classes else None
    sample = side.iloc[sampling.stratified(labels, len(side), SAMPLE, seed=seed)][list(columns)].reset_index(drop=True)
    if contract.classes:
        codes = {value: code for code, value in enumerate(contract.classes)}
        # A class that training never saw gets a code of its own, which NewLabelTrainTest is there to find.
        sample[contract.label] = sample[contract.label].map(codes).fillna(len(codes)).astype("int64")
    return sample


def _with_answers(contract: Contract, inputs: pd.DataFrame, answers: Answers, seed: int) -> pd.DataFrame:
    import pandas as pd

    kind = "int64" if contract.classes else "float64"
    added = {contract.label: answers.actual.astype(kind), _PREDICTION: answers.predicted.astype(kind)}
    if answers.probabilities is not None:
        added |= {f"{_PROBABILITY}{k}": column for k, column in enumerate(answers.probabilities.T)}
    labels = pd.Series(answers.actual) if contract.classes else None
    rows = sampling.stratified(labels, len(inputs), SAMPLE, seed=seed)
    return inputs.assign(**added).iloc[rows].reset_index(drop=True)


def _of_contract(contract: Contract, **rest: Any) -> dict[str, Any]:
    words = [column.name for column in contract.columns if column.kind == "string"]
    features = [column.name for column in contract.columns]
    return _described(features, words, label=contract.label, task=contract.task, classes=len(contract.classes), **rest)


def _described(features: Sequence[str], words: Sequence[str], **rest: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"index": None, "timestamp": None, "prediction": None, "probabilities": []}
    return {**nothing, "features": list(features), "categorical": list(words), **rest}


def _encode(sample: pd.DataFrame, label: str | None, task: str) -> int:
    """Replace the label's classes by codes, in place; gives their number, 0 for amounts."""
    if label is None or task == "regression":
        return 0
    values, codes = np.unique(sample[label].astype(str).to_numpy(dtype=str), return_inverse=True)
    sample[label] = codes.astype("int64")
    return len(values)


def _renamed(value: Any, others: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [others.get(name, name) for name in value]
    return others.get(value, value) if isinstance(value, str) else value


def _words(sample: pd.DataFrame, features: Sequence[str]) -> list[str]:
    import pandas as pd

    return [name for name in features if not pd.api.types.is_numeric_dtype(sample[name].dtype)]
