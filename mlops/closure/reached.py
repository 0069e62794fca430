"""Everything that a function reaches in the repository, definition by definition, and the digest of all that."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from mlops.closure.counted import canonical
from mlops.closure.modules import OURS, dotted, file_of, imported_inside, is_module, parsed, read, resolved
from mlops.declare import Declared

_LISTED: dict[str, dict[str, str]] = {}
_OUTSIDE: dict[str, frozenset[str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One definition that a function reaches: where it stands, its text, and its code without what does not count."""

    name: str
    file: str
    line: int
    text: str
    code: str


@dataclass
class _Walk:
    """What was met: code by module and name, the files it stands in, and the modules from elsewhere."""

    root: Path
    seen: dict[tuple[str, str], str] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    found: dict[tuple[str, str], Definition] = field(default_factory=dict)


def code_digest(declared: Declared, root: Path) -> str:
    """The sha256 over all definitions that `declared` reaches in the repository."""
    return function_digest(declared.module, declared.name, root)


def function_digest(module: str, name: str, root: Path) -> str:
    """The sha256 over all definitions that a function reaches in the repository; that of nothing where it is not."""
    return _digest(_walked(module, name, root))


def traced(declared: Declared, root: Path) -> tuple[str, frozenset[str]]:
    """`code_digest`, and the repository's files in which those definitions stand."""
    walk = _walked(declared.module, declared.name, root)
    return _digest(walk), frozenset(walk.files)


def listed(digest: str) -> dict[str, str]:
    """What a closure of that digest is made of, `file: name` to the digest of the definition; {} where it is none.

    Of closures that this process has looked at.
    """
    return dict(_LISTED.get(digest, {}))


def outside(digest: str) -> frozenset[str]:
    """The top-level modules from elsewhere that a closure of that digest reads: what is installed, or Python's own.

    Of closures that this process has looked at.
    """
    return _OUTSIDE.get(digest, frozenset())


def code_files(declared: Declared, root: Path) -> tuple[str, ...]:
    """The repository's files that hold the closure, relative to the root, with their packages' `__init__`."""
    files = set(_walked(declared.module, declared.name, root).files)
    for name in list(files):
        for parent in Path(name).parents:
            if parent != Path() and (root / parent / "__init__.py").exists():
                files.add((parent / "__init__.py").as_posix())
    return tuple(sorted(files))


def definitions(module: str, name: str, root: Path) -> tuple[Definition, ...]:
    """Every definition that a function reaches in the repository, itself first."""
    return tuple(_walked(module, name, root).found.values())


def _walked(module: str, name: str, root: Path) -> _Walk:
    walk = _Walk(root)
    _visit(walk, module, name)
    return walk


def _digest(walk: _Walk) -> str:
    text = "\n".join(f"{module}.{name}={code}" for (module, name), code in sorted(walk.seen.items()))
    digest = hashlib.sha256(text.encode()).hexdigest()
    _OUTSIDE[digest] = frozenset(walk.outside)
    _LISTED[digest] = {f"{d.file}: {d.name}": hashlib.sha256(d.code.encode()).hexdigest() for d in walk.found.values()}
    return digest


def _visit(walk: _Walk, module: str, name: str) -> None:
    path = file_of(module, walk.root)
    if path is None:
        _read_outside(walk, module)
        return
    if (module, name) in walk.seen:
        return
    here = read(path, module)
    walk.files.add(path.relative_to(walk.root).as_posix())
    if name in here.imports:
        walk.seen[module, name] = ":".join(here.imports[name])
        _follow_import(walk, here.imports[name])
        return
    if name not in here.definitions:
        for star in here.stars:
            _visit(walk, star, name)
        return
    found, local, used = _definition(walk.root, path, module, here.changed, name)
    walk.found[module, name], walk.seen[module, name] = found, found.code
    for chain in used:
        target = resolved(chain, here, local, walk.root)
        if target is not None and (len(chain) > 1 or chain[0] in local):
            _visit(walk, *target)
        if chain[0] not in local:
            _visit(walk, module, chain[0])
        elif target is None:
            _read_outside(walk, local[chain[0]][0])


@lru_cache(maxsize=65_536)
def _definition(
    root: Path, path: Path, module: str, changed: int, name: str
) -> tuple[Definition, Mapping[str, tuple[str, str]], tuple[tuple[str, ...], ...]]:
    """A definition, what is imported inside it, and the names that it reads; each is looked at once.

    A run asks for the same closures before and after each step, and those of a hundred models share what they call.
    """
    here = parsed(path, module, changed)
    nodes = here.definitions[name]
    definition = Definition(
        name=name,
        file=path.relative_to(root).as_posix(),
        line=_first_line(nodes[0]),
        text="\n".join(_text(node, here.text) for node in nodes),
        code="".join(canonical(node) for node in nodes),
    )
    return definition, imported_inside(nodes, module, path), tuple(sorted(_used(nodes)))


def _read_outside(walk: _Walk, module: str) -> None:
    top = module.partition(".")[0]
    if top != OURS and not is_module(top, walk.root):
        walk.outside.add(top)


def _follow_import(walk: _Walk, target: tuple[str, str]) -> None:
    module, name = target
    if not name:
        _read_outside(walk, module)
        return
    if file_of(f"{module}.{name}", walk.root):  # a module: what is used of it is visited where it is used
        return
    _visit(walk, module, name)


def _used(nodes: list[ast.stmt]) -> set[tuple[str, ...]]:
    """Names read in the definitions, and dotted names as tuples."""
    used: set[tuple[str, ...]] = set()
    for node in nodes:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Attribute | ast.Name) and (chain := dotted(inner)):
                used.add(chain)
    return used


def _text(node: ast.stmt, text: str) -> str:
    return "\n".join(text.splitlines()[_first_line(node) - 1 : node.end_lineno])


def _first_line(node: ast.stmt) -> int:
    """The line of the definition, or of its first decorator."""
    return int(min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]))
