"""Python source as a syntax tree, from any thread.

CPython 3.11 counts the depth of the tree that it builds in one place for all threads: two at once end in
"SystemError: AST constructor recursion depth mismatch" (python/cpython#106905). So one at a time.
"""

from __future__ import annotations

import ast
import threading

_one_at_a_time = threading.Lock()


def parse(text: str, name: str = "<source>") -> ast.Module:
    """The tree of a module's source; SyntaxError, with `name` as its file, where it is none."""
    with _one_at_a_time:
        return ast.parse(text, name)


def parse_expression(text: str) -> ast.expr:
    """The tree of one expression; SyntaxError where it is none."""
    with _one_at_a_time:
        return ast.parse(text, mode="eval").body
