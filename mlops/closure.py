"""The code that a declared function runs, inside the repository: its closure, and the closure's digest.

By syntax tree, so comments, formatting and docstrings do not count; function by function, so an edit of
one feature leaves its neighbours in the same file as they are.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from mlops.declare import Declared

_IGNORED_KEYWORDS = (
    "columns",
    "segments",
    "protected",
)  # descriptions and reports: they do not change what is computed


@dataclass
class _Walk:
    root: Path
    seen: dict[tuple[str, str], str] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)


def code_digest(declared: Declared, root: Path) -> str:
    """The sha256 over all definitions that `declared` reaches in the repository."""
    return function_digest(declared.module, declared.name, root)


def function_digest(module: str, name: str, root: Path) -> str:
    """The sha256 over all definitions that a function reaches in the repository; that of nothing where it is not."""
    walk = _Walk(root)
    _visit(walk, module, name)
    text = "\n".join(f"{module}.{name}={code}" for (module, name), code in sorted(walk.seen.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def code_files(declared: Declared, root: Path) -> tuple[str, ...]:
    """The repository's files that hold the closure, relative to the root, with their packages' `__init__`."""
    walk = _Walk(root)
    _visit(walk, declared.module, declared.name)
    files = set(walk.files)
    for name in list(files):
        for parent in Path(name).parents:
            if parent != Path() and (root / parent / "__init__.py").exists():
                files.add((parent / "__init__.py").as_posix())
    return tuple(sorted(files))


def _visit(walk: _Walk, module: str, name: str) -> None:
    path = _file_of(module, walk.root)
    if path is None or (module, name) in walk.seen:
        return
    definitions, imports = _names(path, module, path.stat().st_mtime_ns)
    walk.files.add(path.relative_to(walk.root).as_posix())
    if name in imports:
        walk.seen[module, name] = ":".join(imports[name])
        _follow_import(walk, imports[name])
        return
    nodes = definitions.get(name)
    if nodes is None:
        return
    walk.seen[module, name] = "".join(_canonical(node) for node in nodes)
    for used in _used(nodes):
        base = used[0]
        if base in imports and len(used) > 1 and _file_of(_dotted(imports[base]), walk.root):
            _visit(walk, _dotted(imports[base]), used[1])
        else:
            _visit(walk, module, base)


def _follow_import(walk: _Walk, target: tuple[str, str]) -> None:
    module, name = target
    if not name:
        return
    if _file_of(f"{module}.{name}", walk.root):  # a module: what is used of it is visited where it is used
        return
    _visit(walk, module, name)


def _dotted(target: tuple[str, str]) -> str:
    return ".".join(part for part in target if part)


def _file_of(module: str, root: Path) -> Path | None:
    base = root.joinpath(*module.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@lru_cache(maxsize=4096)
def _names(path: Path, module: str, _changed: int) -> tuple[dict[str, list[ast.stmt]], dict[str, tuple[str, str]]]:
    """A module's top-level definitions by name, and its imported names as (module, name in it)."""
    definitions: dict[str, list[ast.stmt]] = {}
    imports: dict[str, tuple[str, str]] = {}
    for node in _statements(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                imports[alias.asname or alias.name.partition(".")[0]] = (alias.name, "")
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(node, module if path.stem == "__init__" else module.rpartition(".")[0])
            for alias in node.names:
                imports[alias.asname or alias.name] = (origin, alias.name)
        else:
            for name in _defined(node):
                definitions.setdefault(name, []).append(node)
    return definitions, imports


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements([*node.body, *node.orelse])


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


def _used(nodes: list[ast.stmt]) -> set[tuple[str, ...]]:
    """Names read in the definitions, and `module.name` pairs."""
    used: set[tuple[str, ...]] = set()
    for node in nodes:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
                used.add((inner.value.id, inner.attr))
            elif isinstance(inner, ast.Name):
                used.add((inner.id,))
    return used


def _canonical(node: ast.stmt) -> str:
    copy = ast.parse(ast.unparse(node)).body[0]
    for inner in ast.walk(copy):
        if (
            isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and ast.get_docstring(inner) is not None
        ):
            inner.body = inner.body[1:] or [ast.Pass()]
        if isinstance(inner, ast.Call):
            inner.keywords = [k for k in inner.keywords if not _descriptive(k)]
    return ast.dump(copy)


def _descriptive(keyword: ast.keyword) -> bool:
    return keyword.arg in _IGNORED_KEYWORDS and isinstance(keyword.value, ast.Dict | ast.List | ast.Tuple)
