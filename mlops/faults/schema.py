"""Schema skew, planted into the source."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from mlops.adapters import schema_files
from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.faults.columns import every_tenth, repeated, set_first
from mlops.gates import schema as gate
from mlops.gates.schema import Schema

if TYPE_CHECKING:
    import pandas as pd


def cases(bench: Bench) -> Iterator[Case]:
    """No schema, each kind of skew, and the table as it is."""
    declared = bench.config.sources[bench.source].schema or f"features/{bench.source}.schema.yaml"
    frame = bench.snapshot
    schema = gate.parse(schema_files.read(bench.workspace.root / declared))
    missing = partial(gate.no_file, bench.source, declared)
    yield Case(fault="no schema", check="schema.file", judge=lambda: [missing()])
    for fault, (check, broken) in faults(schema, frame).items():
        judge = partial(gate.judge, schema, broken, source=bench.source)
        yield Case(fault=fault, check=check, judge=judge, setting=declared)
    yield sound(lambda: gate.judge(schema, frame, source=bench.source))


def faults(schema: Schema, frame: pd.DataFrame) -> dict[str, tuple[str, pd.DataFrame]]:
    """By name, the check that must fire and the broken table; faults that this schema could never show are left out.

    A kind of which the schema promises nothing at all (no range, no list) is planted all the same, where
    there is a column for it: a gate that was loosened until it no longer fires has to be seen.
    """
    import pandas as pd

    numbers = [n for n in schema.columns if n in frame and pd.api.types.is_numeric_dtype(frame[n].dtype)]
    bounded = [n for n in numbers if "in_range" in schema.columns[n].checks] or numbers
    words = [n for n in schema.columns if n in frame and not pd.api.types.is_numeric_dtype(frame[n].dtype)]
    listed = [n for n in words if "isin" in schema.columns[n].checks]
    filled = [n for n in schema.columns if n in frame and not schema.columns[n].nullable]
    first = str(frame.columns[0])
    faults = {
        "missing column": ("schema.column", frame.drop(columns=first)),
        "unexpected column": ("schema.unexpected", frame.assign(__unexpected=1)),
        "no rows": ("schema.empty", frame.iloc[:0]),
        "text for numbers": ("schema.type", set_first(frame, numbers, lambda v: v.astype(str) + " EUR")),
        "another unit": ("schema.range", set_first(frame, bounded, _another_unit)),
        "a word never seen": ("schema.category", set_first(frame, listed, lambda v: every_tenth(v, "__new"))),
        "values gone": ("schema.presence", set_first(frame, filled or numbers, lambda v: every_tenth(v, None))),
        "a key twice": ("schema.unique", set_first(frame, [schema.key] if schema.key else [], repeated)),
        "time backwards": ("schema.order", frame.iloc[::-1].reset_index(drop=True) if schema.increasing else None),
    }
    return {name: (check, broken) for name, (check, broken) in faults.items() if broken is not None}


def _another_unit(values: pd.Series) -> pd.Series | None:
    return values * 1000 if values.abs().max() > 0 else None
