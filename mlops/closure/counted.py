"""What counts of code: no comment, no formatting, no docstring, and no description that computes nothing."""

from __future__ import annotations

import ast
import hashlib
from functools import lru_cache
from pathlib import Path

from mlops import syntax
from mlops.closure.modules import is_text

# Descriptions and reports: they do not change what is computed.
_IGNORED_KEYWORDS = ("columns", "segments", "protected")
_HOW = ("window",)  # how far a view may be cut, which check-features proves: it does not change what is computed


def syntax_digest(path: Path) -> str:
    """The sha256 over all that a Python file says, without comments, formatting and docstrings."""
    return _digested(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _digested(path: Path, _changed: int) -> str:
    try:
        body = syntax.parse(path.read_text(encoding="utf-8")).body
    except (SyntaxError, UnicodeDecodeError):  # pytest says so when it reads it
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return hashlib.sha256("".join(canonical(node) for node in body if not is_text(node)).encode()).hexdigest()


def canonical(node: ast.stmt) -> str:
    """What counts of a statement, as text."""
    return ast.dump(bare(node))


def bare(node: ast.stmt) -> ast.stmt:
    """A copy without what does not count."""
    copy = syntax.parse(ast.unparse(node)).body[0]
    for inner in ast.walk(copy):
        if (
            isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and ast.get_docstring(inner) is not None
        ):
            inner.body = inner.body[1:] or [ast.Pass()]
        if isinstance(inner, ast.Call):
            inner.keywords = [k for k in inner.keywords if not _descriptive(k)]
    return copy


def _descriptive(keyword: ast.keyword) -> bool:
    if keyword.arg in _HOW:
        return isinstance(keyword.value, ast.Constant)
    return keyword.arg in _IGNORED_KEYWORDS and isinstance(keyword.value, ast.Dict | ast.List | ast.Tuple)
