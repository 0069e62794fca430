"""Broken integrity, planted into the source: what deepchecks must find."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.faults.columns import as_number, every_fifth, every_tenth, set_first
from mlops.gates import questions
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

_LOST = "DataDuplicates"


def cases(bench: Bench) -> Generator[Case]:
    """Each kind of broken integrity, an answer that never came, and the table as it is."""
    deepchecks = bench.deepchecks
    if deepchecks is None:
        return

    def judge(broken: pd.DataFrame, only: str = "", lost: str = "") -> tuple[Finding, ...]:
        asked = questions.of_source(broken, source=bench.source, key=None, reader=bench.model, seed=bench.seed)
        asked = dataclasses.replace(asked, only=only)  # the rest of the suite would only take its time
        return asked.findings(a for a in deepchecks.run(asked) if a.check != lost)

    classes = bench.contract.task != "regression"
    for fault, (check, broken) in faults(_readable(bench), label=bench.model.label, classes=classes).items():
        yield Case(fault=fault, check=f"deepchecks.integrity.{check}", judge=partial(judge, broken, check))
    unanswered = partial(judge, bench.snapshot, _LOST, lost=_LOST)
    yield Case(fault="a check without an answer", check=f"deepchecks.integrity.{_LOST}", judge=unanswered)
    yield sound(partial(judge, bench.snapshot))


def _readable(bench: Bench) -> pd.DataFrame:
    """Without keys and times, which make every row differ, so that copies of rows stay copies."""
    fields = {field.name for field in bench.contract.fields if field.kind != "timestamp"}
    fields -= {stored.entity for stored in bench.contract.stored}
    known = (bench.model.label, bench.model.timestamp)
    return bench.snapshot[[name for name in bench.snapshot.columns if name in fields or name in known]]


def faults(frame: pd.DataFrame, *, label: str | None, classes: bool) -> dict[str, tuple[str, pd.DataFrame]]:
    """By name, the check of deepchecks' integrity suite that must fire, and the broken table."""
    import pandas as pd

    words = [str(n) for n in frame.columns if n != label and pd.api.types.is_string_dtype(frame[n].dtype)]
    words = [n for n in words if 1 < frame[n].nunique() <= 100]
    faults: dict[str, tuple[str, pd.DataFrame | None]] = {
        "loaded twice": ("DataDuplicates", pd.concat([frame, frame], ignore_index=True)),
        "words for missing": ("MixedNulls", set_first(frame, words, _two_nulls)),
        "two spellings": ("StringMismatch", set_first(frame, words, lambda v: every_fifth(v, v.str.upper() + "!"))),
        "values of ???": ("SpecialCharacters", set_first(frame, words, lambda v: every_tenth(v, "???"))),
    }
    if label is not None:
        faults["the answer as a column"] = ("FeatureLabelCorrelation", frame.assign(__leak=as_number(frame[label])))
        if classes:
            faults["conflicting labels"] = ("ConflictingLabels", _conflicting(frame, label))
    return {name: (check, broken) for name, (check, broken) in faults.items() if broken is not None}


def _two_nulls(values: pd.Series) -> pd.Series:
    position = np.arange(len(values)) % 20
    return values.mask(position == 0, "null").mask(position == 1, "None")


def _conflicting(frame: pd.DataFrame, label: str) -> pd.DataFrame:
    """A quarter of the rows once more, with another class."""
    import pandas as pd

    again = frame[frame[label].notna()].iloc[::4].copy()
    codes, values = pd.factorize(again[label])
    again[label] = pd.Series(values[(codes + 1) % len(values)], index=again.index)
    return pd.concat([frame, again], ignore_index=True)
