"""Rules as SQL: which rows of a table break one."""

from __future__ import annotations

from collections.abc import Mapping

from mlops.adapters import expressions
from mlops.facts import Kind, Rule

COMPARISONS = {"below": "<", "not above": "<=", "above": ">", "not below": ">="}
"""The tests against a bound."""

_GARBLED = (
    "[\\x{FEFF}\\x{FFFD}\\x{0080}-\\x{009F}]|ï»¿"
    "|[ÃÂ][\\x{00A0}-\\x{00BF}\\x{0152}-\\x{0192}\\x{02C6}-\\x{02DC}\\x{2013}-\\x{2122}]"
    "|â€[\\x{00A0}-\\x{00BF}\\x{0152}-\\x{0192}\\x{02C6}-\\x{02DC}\\x{2013}-\\x{2122}]"
)
"""A byte-order mark, a replacement character, control characters of C1, UTF-8 that was read as Latin-1 or cp1252."""

_DECIMAL_COMMA = r"^\s*[+-]?\d+,\d+\s*$"


def rule_sql(rule: Rule, kinds: Mapping[str, Kind]) -> str:
    """A condition that is true for the rows that break a rule."""
    if rule.test == "false":
        return f"NOT {expressions.sql(str(rule.value), name_sql)}"
    c = name_sql(rule.column)
    if rule.test in COMPARISONS:
        return f"{c} {COMPARISONS[rule.test]} {bound_sql(rule, kinds)}"
    if rule.test == "not in":
        return _not_in(rule, kinds[rule.column])
    return {
        "missing": f"{c} IS NULL",
        "any": f"{c} IS NOT NULL",
        "not whole": f"(NOT isfinite({c}::DOUBLE) OR {c} <> floor({c}::DOUBLE))",
        "not a number": f"{c} IS NOT NULL AND TRY_CAST({c} AS DOUBLE) IS NULL",
        "garbled": f"regexp_matches({c}, {text_sql(_GARBLED)})",
        "decimal comma": f"regexp_matches({c}, {text_sql(_DECIMAL_COMMA)})",
    }[rule.test]


def suspect_sql(rule: Rule, kinds: Mapping[str, Kind]) -> str:
    """A condition that is cheap, and true for all rows that break a rule, and maybe for some others."""
    c = name_sql(rule.column)
    if rule.test == "garbled":
        return f"strlen({c}) <> length({c})"  # text of ASCII alone, as most is, has as many bytes as characters
    return f"contains({c}, ',')" if rule.test == "decimal comma" else rule_sql(rule, kinds)


def bound_sql(rule: Rule, kinds: Mapping[str, Kind]) -> str:
    """The bound of a comparison, as a number or a time."""
    if kinds[rule.column] == "time":
        return f"{text_sql(str(rule.value))}::TIMESTAMP"
    return f"'{float(rule.value)}'::DOUBLE"


def name_sql(name: str) -> str:
    """A column's name in quotes."""
    return '"' + name.replace('"', '""') + '"'


def text_sql(value: str) -> str:
    """A text in quotes."""
    return "'" + value.replace("'", "''") + "'"


def _not_in(rule: Rule, kind: Kind) -> str:
    c = name_sql(rule.column)
    if kind in ("text", "time"):
        typed, listed = f"{c}::VARCHAR", [text_sql(str(value)) for value in rule.value]
    else:
        numbers = [float(value) for value in rule.value if isinstance(value, int | float)]
        typed, listed = f"{c}::DOUBLE", [f"'{number}'::DOUBLE" for number in numbers]
    return f"{typed} NOT IN ({', '.join(listed)})" if listed else f"{c} IS NOT NULL"
