"""Labels that teach nothing, and columns that moved."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlops.faults.bench import Bench
from mlops.faults.case import Case, Reaction, sound
from mlops.gates import data as gate
from mlops.statistics import drift
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd


def cases(bench: Bench) -> Generator[Case]:
    """A label without information, a shifted column, and both as they are."""
    label = bench.train[bench.contract.label]

    def judge(values: pd.Series) -> list[Finding]:
        return [gate.judge_label(values, label=bench.contract.label, model=bench.model.name)]

    constant, nothing = label.where(label.isna(), label.iloc[0]), label.where(label.isna() & False)
    yield Case(fault="a label that never changes", check="data.label", judge=lambda: judge(constant))
    yield Case(fault="no label at all", check="data.label", judge=lambda: judge(nothing))
    yield sound(lambda: judge(label))
    yield from _drift(bench)


def _drift(bench: Bench) -> Iterator[Case]:
    mixed = bench.train.sample(frac=1, random_state=bench.seed)
    columns = [column.name for column in bench.contract.columns]
    before = {name: mixed[name].iloc[::2] for name in columns}
    after = {name: mixed[name].iloc[1::2] for name in columns}
    if len(mixed) // 2 < drift.LEAST_ROWS:
        return

    def judge(now: Mapping[str, pd.Series]) -> tuple[Finding, ...]:
        return gate.judge_shifts(drift.shifts(before, now, seed=bench.seed), champion="the champion")

    moved = shifted(after)
    if moved is not None:
        fault = f"{moved[0]} moved by half a sd"
        yield Case(fault=fault, check="data.value_skew", judge=lambda: judge(moved[1]), expected=Reaction.RETRAINS)
    yield sound(lambda: judge(after), "none (two halves)")


def shifted(columns: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The name of a numeric column, and the columns with it moved by half a standard deviation."""
    import pandas as pd

    for name, values in columns.items():
        if pd.api.types.is_numeric_dtype(values.dtype) and values.nunique() > 10:
            return name, {**columns, name: values + 0.5 * values.std()}
    return None
