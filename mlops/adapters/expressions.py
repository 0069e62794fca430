"""Constraints between columns as people write them, `start <= end`, read strictly and turned into SQL.

The grammar is a small part of Python's, as in `DataFrame.query`: comparisons, arithmetic, `and`, `or`, `not`, `in`,
`abs`, numbers, words in quotes, and columns by their names, odd ones in backticks.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from mlops import syntax

_COMPARED: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "=",
    ast.NotEq: "<>",
}
_COUNTED: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%"}
_QUOTED = re.compile(r"`([^`]+)`")
_NEARLY = 1e-9
"""Sums of decimal numbers differ in their last digits: so much of the larger side is no difference."""


def columns(text: str) -> tuple[str, ...]:
    """The columns that a constraint speaks of; ValueError says what in it is not understood."""
    found: dict[str, None] = {}

    def named(name: str) -> str:
        found[name] = None
        return name

    _sql(text, named)
    return tuple(found)


def sql(text: str, quoted: Callable[[str], str]) -> str:
    """The constraint as an SQL expression, columns as `quoted` writes them. Where a value is missing it is NULL."""
    return _sql(text, quoted)


def _sql(text: str, quoted: Callable[[str], str]) -> str:
    odd: list[str] = []

    def keep(found: re.Match[str]) -> str:
        odd.append(found[1])
        return f"__column_{len(odd) - 1}__"

    try:
        tree = syntax.parse_expression(_QUOTED.sub(keep, text.strip()))
    except SyntaxError as error:
        raise ValueError(f"{text!r} is no constraint: {error.msg}") from None

    def column(name: str) -> str:
        number = re.fullmatch(r"__column_(\d+)__", name)
        return quoted(odd[int(number[1])] if number else name)

    if not isinstance(tree, ast.Compare | ast.BoolOp | ast.UnaryOp):
        raise ValueError(f"{text!r} is no constraint: it compares nothing; write one such as `start <= end`")  # noqa: TRY004  a file's fault
    return _Writer(text, column).write(tree)


class _Writer:
    """Turns one parsed constraint into SQL, part by part."""

    def __init__(self, text: str, column: Callable[[str], str]) -> None:
        self._text, self._column = text, column

    def write(self, node: ast.expr) -> str:  # noqa: PLR0911  one line for each part of the grammar
        """The SQL of a part; ValueError where it is none of the few that are allowed."""
        match node:
            case ast.BoolOp(op=op, values=values):
                return "(" + (" AND " if isinstance(op, ast.And) else " OR ").join(map(self.write, values)) + ")"
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return f"(NOT {self.write(operand)})"
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return f"(-{self.write(operand)})"
            case ast.Compare(left=left, ops=ops, comparators=rest):
                sides = [left, *rest]
                pairs = zip(sides, ops, sides[1:], strict=False)
                return "(" + " AND ".join(self._compared(*pair) for pair in pairs) + ")"
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _COUNTED:
                return f"({self.write(left)} {_COUNTED[type(op)]} {self.write(right)})"
            case ast.Call(func=ast.Name(id="abs"), args=[only], keywords=[]):
                return f"abs({self.write(only)})"
            case ast.Name(id=name):
                return self._column(name)
            case ast.Constant(value=value) if isinstance(value, bool | int | float):
                return repr(value).upper()
            case ast.Constant(value=str() as value):
                return "'" + value.replace("'", "''") + "'"
        raise ValueError(f"{self._text!r} holds {ast.unparse(node)!r}, which no constraint can")

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> str:
        first = self.write(left)
        if isinstance(op, ast.In | ast.NotIn) and isinstance(right, ast.List | ast.Tuple):
            listed = ", ".join(map(self.write, right.elts))
            return f"{first} {'NOT ' if isinstance(op, ast.NotIn) else ''}IN ({listed})"
        if type(op) not in _COMPARED:
            raise ValueError(
                f"{self._text!r} is no constraint: it compares by something else than <, <=, ==, !=, >=, >, in [...]"
            )
        second = self.write(right)
        if isinstance(op, ast.Eq | ast.NotEq) and any(isinstance(side, ast.BinOp) for side in (left, right)):
            near = f"abs({first} - {second}) <= {_NEARLY} * greatest(abs({first}), abs({second}), 1)"
            return near if isinstance(op, ast.Eq) else f"(NOT {near})"
        return f"{first} {_COMPARED[type(op)]} {second}"
