"""Schema skew, planted into the source."""

from __future__ import annotations

import re
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters import aggregates, schema_files
from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.faults.columns import SHARE, every_tenth, repeated, set_first
from mlops.gates import schema as gate
from mlops.gates.schema import Schema
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd


def cases(bench: Bench) -> Generator[Case]:
    """No schema, each kind of skew, and the table as it is."""
    declared = bench.config.sources[bench.source].schema or f"features/{bench.source}.schema.yaml"
    frame = bench.snapshot
    schema = gate.parse(schema_files.read(bench.workspace.root / declared))
    missing = partial(gate.no_file, bench.source, declared)
    yield Case(fault="no schema", check="schema.file", judge=lambda: [missing()])
    for fault, (check, broken) in faults(schema, frame).items():
        judge = partial(judged, schema, broken, source=bench.source)
        yield Case(fault=fault, check=check, judge=judge, setting=declared)
    yield sound(partial(judged, schema, frame, source=bench.source))


def judged(schema: Schema, frame: pd.DataFrame, *, source: str) -> tuple[Finding, ...]:
    """What the gate says of a frame."""
    with aggregates.of_frame(frame) as table:
        return gate.judge(schema, table, source=source)


def faults(schema: Schema, frame: pd.DataFrame) -> dict[str, tuple[str, pd.DataFrame]]:
    """By name, the check that must fire and the broken table; faults that this schema could never show are left out.

    A kind of which the schema promises nothing at all (no range, no list) is planted all the same, where
    there is a column for it: a gate that was loosened until it no longer fires has to be seen.
    """
    import pandas as pd

    numbers = [n for n in schema.columns if n in frame and pd.api.types.is_numeric_dtype(frame[n].dtype)]
    bounded = [n for n in numbers if "in_range" in schema.columns[n].checks] or numbers
    scaled = [n for n in numbers if n in schema.scales]
    words = [n for n in schema.columns if n in frame and pd.api.types.is_string_dtype(frame[n].dtype)]
    listed = [n for n in words if "isin" in schema.columns[n].checks]
    filled = [n for n in schema.columns if n in frame and not schema.columns[n].nullable]
    sound_letters = [n for n in words if n not in schema.garbled]
    first = str(frame.columns[0])
    unit = "schema.unit" if scaled else "schema.range"
    faults = {
        "missing column": ("schema.column", frame.drop(columns=first)),
        "unexpected column": ("schema.unexpected", frame.assign(__unexpected=1)),
        "no rows": ("schema.empty", frame.iloc[:0]),
        "text for numbers": ("schema.type", set_first(frame, numbers, lambda v: v.astype(str) + " EUR")),
        "another unit": (unit, set_first(frame, scaled or bounded, _another_unit)),
        "values far beyond": ("schema.range", set_first(frame, bounded, _far_beyond)),
        "a word never seen": ("schema.category", set_first(frame, listed, lambda v: every_tenth(v, "__new"))),
        "letters of another encoding": ("schema.encoding", set_first(frame, sound_letters, _garbled)),
        "values gone": ("schema.presence", set_first(frame, filled or numbers, lambda v: every_tenth(v, None))),
        "a key twice": ("schema.unique", set_first(frame, [schema.key] if schema.key else [], repeated)),
        "time backwards": ("schema.order", frame.iloc[::-1].reset_index(drop=True) if schema.increasing else None),
        "columns swapped": ("schema.constraint", _swapped(schema, frame)),
    }
    return {name: (check, broken) for name, (check, broken) in faults.items() if broken is not None}


def _another_unit(values: pd.Series) -> pd.Series | None:
    return values * 1000 if values.abs().max() > 0 else None


def _far_beyond(values: pd.Series) -> pd.Series:
    beyond = 1000.0 * (1 + float(values.abs().max()))
    return values.where(np.arange(len(values)) % SHARE != 0, -round(beyond))


def _garbled(values: pd.Series) -> pd.Series:
    """Every tenth value as if it had an umlaut, in UTF-8 that was read as Latin-1."""
    return values.where(np.arange(len(values)) % SHARE != 0, "Größe".encode().decode("latin-1"))


def _swapped(schema: Schema, frame: pd.DataFrame) -> pd.DataFrame | None:
    """The table with both sides of its first `a <= b` exchanged in every tenth row; None without such a constraint."""
    for text in schema.constraints:
        sides = re.fullmatch(r"(`[^`]+`|\w+) <=? (`[^`]+`|\w+)", text)
        names = [side.strip("`") for side in sides.groups()] if sides else []
        if not names or any(name not in frame for name in names):
            continue
        low, high = (frame[name] for name in names)
        keep = ~((np.arange(len(frame)) % SHARE == 0) & (low < high).to_numpy())
        if keep.all():
            continue
        return frame.assign(**{names[0]: low.where(keep, high), names[1]: high.where(keep, low)})
    return None
