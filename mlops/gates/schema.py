"""Judges a table against its committed schema: every kind of skew is a finding with column, value and rows.

The document is pandera's; what is common is asked here as rules that whoever holds the rows answers in one scan,
because pandera's own validation needs the whole table in memory and a Python object per failing cell. What this
gate does not know is left to pandera, and its answers come back as `constraint_findings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mlops.adapters import expressions
from mlops.facts import Broken, Facts, Kind, Rule, Table, Test
from mlops.gates.schema_document import Column, Schema, parse
from mlops.gates.schema_findings import KINDS, Writer, bad_file, from_pandera, no_file
from mlops.statistics import units
from mlops.verdict import Finding

__all__ = ["Column", "Schema", "bad_file", "constraint_findings", "judge", "no_file", "parse"]

_MORE_MISSING = 0.3  # so much more of a column's rows may be missing than when the schema was written
_MOSTLY_MISSING = 0.5  # above this share nothing is promised
_WORDS: dict[Kind, str] = {
    "bool": "true and false",
    "float": "numbers",
    "int": "whole numbers",
    "time": "times",
    "text": "text",
}


def judge(schema: Schema, table: Table, *, source: str) -> tuple[Finding, ...]:
    """Findings on every column of the schema and of `table`, and one that passes for each kind that none fires for."""
    writer = Writer(schema, source, table.rows)
    if not table.rows:
        step = "look at the source's path, filters and query"
        return (writer.found("empty", source, "the table has no rows", step=step, path=None, measured=0, threshold=1),)
    facts = table.measure([*_rules(schema, table)], scales=[*_scaled(schema, table)])
    findings = [*_names(writer, table)]
    for name, column in schema.columns.items():
        if name in table.kinds:
            findings += _column(writer, name, column, table, facts)
    findings += _whole(writer, facts)
    fired = {finding.check for finding in findings}
    return (*findings, *(writer.passed(kind) for kind in KINDS if f"schema.{kind}" not in fired))


def constraint_findings(
    schema: Schema, failures: Iterable[tuple[str, str, int, tuple[Any, ...]]], *, source: str, rows: int
) -> tuple[Finding, ...]:
    """Findings from pandera's own failures: column ("" for the whole table), check, number and first rows."""
    return from_pandera(Writer(schema, source, rows), failures)


def _rules(schema: Schema, table: Table) -> Iterator[Rule]:
    """All that has to be asked of this table."""
    for name, column in schema.columns.items():
        if name in table.kinds:
            yield from _rules_of(name, column, table.kinds[name], broken_already=name in schema.garbled)
            if not column.nullable:
                yield Rule(name, "missing")
    if schema.unique and all(name in table.kinds for name in schema.unique):
        yield Rule(schema.unique[0], "repeated", schema.unique)
    for name in schema.increasing:
        if table.kinds.get(name) == "time":
            yield Rule(name, "backwards")
    for text in schema.constraints:
        if all(name in table.kinds for name in expressions.columns(text)):  # else that column has its own finding
            yield Rule("", "false", text)


def _rules_of(name: str, column: Column, kind: Kind, *, broken_already: bool) -> Iterator[Rule]:
    if column.unique:
        yield Rule(name, "repeated", (name,))
    if kind == "text" and not broken_already:
        yield Rule(name, "garbled")
        yield Rule(name, "decimal comma")
    doubt = _doubt(column, kind)
    if doubt is not None:
        yield Rule(name, doubt)
        if doubt != "not whole":
            return
    if column.listed is not None:
        yield Rule(name, "not in", column.listed)
    if kind != "text":
        yield from (Rule(name, test, value) for _, _, test, value in column.bounds)


def _doubt(column: Column, kind: Kind) -> Test | None:
    """What to ask of a column that is not of the kind that the schema says; None where it is."""
    wanted = _wanted(column)
    if wanted in (None, kind) or (wanted == "float" and kind == "int"):
        return None
    if wanted == "int" and kind == "float":
        return "not whole"
    return "not a number" if kind == "text" and wanted in ("int", "float") else "any"


def _wanted(column: Column) -> Kind | None:
    """The kind by the dtype; without one, by what the bounds can be compared with."""
    if column.kind is not None or not column.bounds:
        return column.kind
    return "float" if all(isinstance(value, int | float) for *_, value in column.bounds) else "time"


def _scaled(schema: Schema, table: Table) -> Iterator[str]:
    for name in schema.scales:
        if table.kinds.get(name) in ("int", "float"):
            yield name


def _names(writer: Writer, table: Table) -> Iterator[Finding]:
    """Columns that are missing or not expected, and names with broken letters."""
    schema = writer.schema
    for name, column in schema.columns.items():
        if name not in table.kinds and column.required:
            message = f"the column {name!r} is missing"
            evidence = {"measured": "missing", "threshold": "present"}
            yield writer.found(
                "column", name, message, step="put it back at the source", path=("columns", name), **evidence
            )
    for name in table.kinds if schema.strict else ():
        if name in schema.columns:
            continue
        plain = name.removeprefix("\ufeff").removeprefix("ï»¿")
        evidence = {"measured": "present", "threshold": "absent"}
        if plain != name and plain in schema.columns:
            message = f"the name of the column {plain!r} begins with a byte-order mark"
            step = 'read the file as UTF-8 with such a mark: encoding = "utf-8-sig" for this source'
            yield writer.found("encoding", plain, message, step=step, path=("columns", plain), **evidence)
        message = f"the column {name!r} is not in the schema"
        yield writer.found("unexpected", name, message, step="drop it", path=("columns",), **evidence)


def _column(writer: Writer, name: str, column: Column, table: Table, facts: Facts) -> Iterator[Finding]:
    """All findings on one column that is there."""
    kind = table.kinds[name]
    yield from _presence(writer, name, column, table, facts)
    if facts.missing[name] == table.rows:
        return
    for test, message, step in _LETTERS:
        broken = facts.broken.get(Rule(name, test))
        if broken and not (test == "decimal comma" and _doubt(column, kind)):
            yield writer.of_rows(
                "encoding", name, f"column {name!r} {message}", broken, path=("columns", name), step=step
            )
    if column.unique and (broken := facts.broken.get(Rule(name, "repeated", (name,)))):
        yield writer.of_rows("unique", name, f"the key {name!r} repeats", broken, path=("columns", name, "unique"))
    problem = _type(writer, name, column, kind, facts)
    if problem is not None:
        yield problem
        return
    if column.listed is not None and (broken := facts.broken.get(Rule(name, "not in", column.listed))):
        message = f"column {name!r} holds values that the schema does not list"
        yield writer.of_rows("category", name, message, broken, path=("columns", name, "checks", "isin"))
    for check, sign, test, value in column.bounds if kind != "text" else ():
        if broken := facts.broken.get(Rule(name, test, value)):
            worst = (facts.lowest if test in ("below", "not above") else facts.highest)[name]
            shown = f"{value:g}" if isinstance(value, int | float) else str(value)
            yield writer.of_rows(
                *("range", name, f"column {name!r} is not {sign} {shown}", broken),
                path=("columns", name, "checks", check),
                measured=worst if isinstance(worst, int | float) else str(worst),
                threshold=value if isinstance(value, int | float) else str(value),
            )
    yield from _unit(writer, name, facts)


_LETTERS: tuple[tuple[Test, str, str], ...] = (
    ("garbled", "holds letters that were read in another encoding", "set encoding for this source, or export as UTF-8"),
    ("decimal comma", "holds numbers with a decimal comma beside others", "export all rows with one decimal sign"),
)


def _presence(writer: Writer, name: str, column: Column, table: Table, facts: Facts) -> Iterator[Finding]:
    schema, count = writer.schema, facts.missing[name]
    usual = schema.missing.get(name, 0.0)
    if not column.nullable:
        threshold, before, path = 0.0, "never was", ("columns", name, "nullable")
    elif usual < _MOSTLY_MISSING and name in schema.missing:
        before, path = f"was {usual:.1%} when the schema was written", ("metadata", "missing", name)
        threshold = usual + _MORE_MISSING
    else:
        return
    share = count / table.rows
    if share <= threshold:
        return
    rule = Rule(name, "missing")
    broken = facts.broken.get(rule) or table.measure([rule]).broken[rule]
    yield writer.found(
        "presence",
        name,
        f"{name!r}: {count:,} of {table.rows:,} values are missing ({share:.1%}); this {before}",
        step="look at the rows named",
        path=path,
        measured=share,
        threshold=threshold,
        rows=broken.rows,
    )


def _type(writer: Writer, name: str, column: Column, kind: Kind, facts: Facts) -> Finding | None:
    """The finding of a column that is not what the schema says."""
    doubt, wanted = _doubt(column, kind), _wanted(column)
    if doubt is None or wanted is None:
        return None
    broken = facts.broken.get(Rule(name, doubt))
    if broken is None:
        if doubt == "not whole":
            return None
        broken = Broken(writer.rows - facts.missing[name])
    held = "float" if doubt == "not whole" else kind
    message = f"column {name!r} holds {_WORDS[held]} where the schema says {_WORDS[wanted]}"
    step = "mend it at the source"
    commas = facts.broken.get(Rule(name, "decimal comma"))
    if commas is not None and doubt == "not a number":
        message += f" ({commas.count:,} of them have a decimal comma)"
        step = 'write all numbers alike; `decimal = ","` for this source reads commas'
    evidence = {"measured": held, "threshold": column.dtype or wanted}
    return writer.of_rows("type", name, message, broken, path=("columns", name, "dtype"), step=step, **evidence)


def _unit(writer: Writer, name: str, facts: Facts) -> Iterator[Finding]:
    """The finding of a column whose numbers all moved by a known conversion."""
    before, (now, n) = writer.schema.scales.get(name), facts.scales.get(name, ((), 0))
    found = units.jump(before, now, n) if before else None
    if found is None or before is None:
        return
    median, was = now[len(now) // 2], before[len(before) // 2]
    moved = f"by a factor of {found.factor:.4g}" if found.factor is not None else "alike"
    yield writer.found(
        "unit",
        name,
        f"column {name!r} looks as if it came in another unit ({found.words}): all of it moved {moved}, "
        f"the median from {was:.4g} to {median:.4g}",
        step="convert it at the source",
        path=("metadata", "scales", name),
        measured=median,
        threshold=was,
        n=n,
    )


def _whole(writer: Writer, facts: Facts) -> Iterator[Finding]:
    """Findings on several columns together and on the order of rows."""
    schema = writer.schema
    if schema.unique and (broken := facts.broken.get(Rule(schema.unique[0], "repeated", schema.unique))):
        key = ", ".join(schema.unique)
        yield writer.of_rows("unique", key, f"the key ({key}) repeats", broken, path=("unique",))
    for name in schema.increasing:
        if broken := facts.broken.get(Rule(name, "backwards")):
            message = f"time runs backwards in {name!r}"
            yield writer.of_rows("order", name, message, broken, path=("metadata", "increasing"))
    for text in schema.constraints:
        rule, path = Rule("", "false", text), ("metadata", "constraints", text)
        if why := facts.unanswered.get(rule):
            yield writer.not_run("constraint", text, f"the constraint {text} could not be asked: {why}", path=path)
        elif broken := facts.broken.get(rule):
            yield writer.of_rows("constraint", text, f"the constraint {text} does not hold", broken, path=path)
