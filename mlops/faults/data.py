"""Labels that teach nothing or are wrong, columns that moved, feeds that stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.doubts import doubted
from mlops.faults.bench import Bench
from mlops.faults.case import Case, Reaction, sound
from mlops.gates import data as gate
from mlops.statistics import drift
from mlops.verdict import Finding, Outcome

if TYPE_CHECKING:
    import pandas as pd

_WORDS = 50
_MANY = 0.25
_COMMON = 0.5
_WRONG = 0.25


def cases(bench: Bench) -> Generator[Case]:
    """A label without information, each kind of shift, a feed that stopped, swapped labels; and all as they are."""
    label = bench.train[bench.contract.label]

    def judge(values: pd.Series) -> list[Finding]:
        return [gate.judge_label(values, label=bench.contract.label, model=bench.model.name)]

    constant, nothing = label.where(label.isna(), label.iloc[0]), label.where(label.isna() & False)
    yield Case(fault="a label that never changes", check="data.label", judge=lambda: judge(constant))
    yield Case(fault="no label at all", check="data.label", judge=lambda: judge(nothing))
    yield sound(lambda: judge(label))
    yield from _drift(bench)
    yield from _sides(bench)
    yield from _labels(bench)


def _drift(bench: Bench) -> Iterator[Case]:
    mixed = bench.train.sample(frac=1, random_state=bench.seed)
    columns = [column.name for column in bench.contract.columns]
    before = {name: mixed[name].iloc[::2] for name in columns}
    after = {name: mixed[name].iloc[1::2] for name in columns}
    if len(mixed) // 2 < drift.LEAST_ROWS:
        return

    def judge(now: Mapping[str, pd.Series]) -> tuple[Finding, ...]:
        return gate.judge_shifts(drift.shifts(before, now, seed=bench.seed), champion="the champion")

    for fault, now in (_numbers_moved(after), _words_changed(after), _gone(after)):
        if now is not None:
            again = partial(judge, now)
            yield Case(fault=fault, check="data.value_skew", judge=again, expected=Reaction.RETRAINS)
    yield sound(lambda: judge(after), "none (two halves)")


def _numbers_moved(columns: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None]:
    moved = shifted(columns)
    return ("", None) if moved is None else (f"{moved[0]} moved by half a sd", moved[1])


def _words_changed(columns: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Half of the rows with the commonest word have a rare one now."""
    import pandas as pd

    for name, values in columns.items():
        counts = values.value_counts(normalize=True)
        if not pd.api.types.is_numeric_dtype(values.dtype) and 2 <= len(counts) <= _WORDS and counts.iloc[0] >= _MANY:
            turned = (values == counts.index[0]) & (np.arange(len(values)) % 2 == 0)
            return f"{name} said otherwise", {**columns, name: values.mask(turned, counts.index[-1])}
    return "", None


def _gone(columns: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Two of five values are missing."""
    for name, values in columns.items():
        if values.notna().mean() > _COMMON:
            return f"{name} missing in two of five", {**columns, name: values.mask(np.arange(len(values)) % 5 < 2)}
    return "", None


def _sides(bench: Bench) -> Iterator[Case]:
    """A feed that stopped before the held-out rows."""
    names = [column.name for column in bench.contract.columns]
    train, holdout = bench.train[names], bench.holdout[names]
    fed = next((name for name in names if train[name].notna().mean() > _COMMON), None)
    if fed is None:
        return
    stopped = holdout.assign(**{fed: holdout[fed].where(np.zeros(len(holdout), bool))})
    yield Case(
        fault=f"{fed} stopped coming",
        check="data.sides",
        judge=lambda: gate.judge_sides(train, stopped),
        expected=Reaction.WARNS,
    )
    yield sound(lambda: gate.judge_sides(train, holdout), "none (two sides)")


def _labels(bench: Bench) -> Iterator[Case]:
    """One label in four turned into another, on a table where the inputs tell the labels."""
    if bench.contract.task == "regression":
        return
    honest = doubted(bench.workspace, bench.contract, bench.material.assembled).finding
    if honest.outcome is not Outcome.PASS:
        return  # too few rows, or classes that overlap: there the gate says that it cannot tell

    def judge() -> list[Finding]:
        swapped = dataclasses.replace(bench.material.assembled, outputs=_swapped(bench))
        return [doubted(bench.workspace, bench.contract, swapped).finding]

    yield Case(fault="one label in four swapped", check="data.label_noise", judge=judge, expected=Reaction.WARNS)
    yield sound(lambda: [honest], "none (labels)")


def _swapped(bench: Bench) -> dict[str, str]:
    """The outputs of `assemble`, with both sides' labels turned over in one row of four."""
    classes, label = list(bench.contract.classes), bench.contract.label
    random = np.random.default_rng(bench.seed)
    outputs = dict(bench.material.assembled.outputs)
    for side, table in (("train", bench.train), ("holdout", bench.holdout)):
        codes = np.array([classes.index(value) for value in table[label].tolist()])
        turned = random.random(len(codes)) < _WRONG
        other = np.where(turned, (codes + random.integers(1, len(classes), len(codes))) % len(classes), codes)
        named = table.assign(**{label: [classes[code] for code in other]})
        outputs[side] = bench.workspace.put_frame(named)
    return outputs


def shifted(columns: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The name of a numeric column, and the columns with it moved by half a standard deviation."""
    import pandas as pd

    for name, values in columns.items():
        if pd.api.types.is_numeric_dtype(values.dtype) and values.nunique() > 10:
            return name, {**columns, name: values + 0.5 * values.std()}
    return None
