"""What Python files import, the repository's own and others, wherever in them it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from mlops import syntax
from mlops.closure.modules import OURS, absolute, file_of, is_module


def imported_files(paths: Iterable[Path], root: Path) -> tuple[str, ...]:
    """The repository's Python files that these import, and those that they import in turn, relative to the root."""
    found: set[Path] = set()
    waiting = [path for path in paths if path.suffix == ".py"]
    while waiting:
        path = waiting.pop()
        new = {file for module in _imported_modules(path, root) if (file := file_of(module, root))} - found
        found |= new
        waiting += new
    return tuple(sorted(path.relative_to(root).as_posix() for path in found))


def imported_outside(paths: Iterable[Path], root: Path) -> frozenset[str]:
    """The top-level modules that these files import, except what they import of the repository."""
    names = {name.partition(".")[0] for path in paths if path.suffix == ".py" for name in _imported_modules(path, root)}
    return frozenset(name for name in names if name != OURS and not is_module(name, root))


def _imported_modules(path: Path, root: Path) -> frozenset[str]:
    """What a file may import, by dotted name, with the packages above; in `from a import b`, b may be a module too."""
    return _read_imports(path, root, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _read_imports(path: Path, root: Path, _changed: int) -> frozenset[str]:
    try:
        tree = syntax.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):  # pytest says so when it reads it
        return frozenset()
    parts = path.relative_to(root).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = absolute(node, module if path.stem == "__init__" else module.rpartition(".")[0])
            names |= {origin, *(f"{origin}.{alias.name}" for alias in node.names if origin)}
    return frozenset(".".join(name.split(".")[: k + 1]) for name in names if name for k in range(name.count(".") + 1))
