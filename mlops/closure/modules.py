"""The repository's modules as they are written: what each defines, what it imports, and where a name leads.

Nothing is imported for that; a module is parsed again when its file has changed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mlops import syntax

OURS = "mlops"  # the framework is no part of a feature, also where both lie in one folder, as in every bento


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module's top-level definitions by name, its imported names as (module, name in it), and its star imports."""

    name: str
    text: str
    definitions: Mapping[str, list[ast.stmt]]
    imports: Mapping[str, tuple[str, str]]
    stars: tuple[str, ...]
    changed: int  # when its file was written


def module_of(name: str, root: Path, folders: Iterable[str]) -> str | None:
    """The module below `folders` that defines a decorated function of that name; None where none does."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            for node in read(path, module).definitions.get(name, ()):
                if isinstance(node, ast.FunctionDef) and node.decorator_list:
                    return module
    return None


def read(path: Path, module: str) -> Module:
    """The module in a file, under its dotted name."""
    return parsed(path, module, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def parsed(path: Path, module: str, changed: int) -> Module:
    """The module as it was when its file was written at `changed`."""
    text = path.read_text(encoding="utf-8")
    found: dict[str, list[ast.stmt]] = {}
    tree = syntax.parse(text)
    body = list(_statements(tree.body))
    for node in body:
        for name in _defined(node):
            found.setdefault(name, []).append(node)
    for node in tree.body:
        for name in _touched(node, found):
            found.setdefault(name, []).append(node)
    imports = _imports([node for node in body if isinstance(node, ast.Import | ast.ImportFrom)], module, path)
    stars = tuple(origin for name, (origin, _) in imports.items() if name.startswith("*"))
    plain = {name: target for name, target in imports.items() if not name.startswith("*")}
    return Module(name=module, text=text, definitions=found, imports=plain, stars=stars, changed=changed)


def file_of(module: str, root: Path) -> Path | None:
    """The repository's file of a module; None where it comes from elsewhere."""
    first, *rest = module.split(".")
    if first == OURS:
        return None
    base = root.joinpath(first, *rest)
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def is_module(place: str, root: Path) -> bool:
    """Whether there is a file, or a folder of files, of that name."""
    return file_of(place, root) is not None or (
        place.partition(".")[0] != OURS and root.joinpath(*place.split(".")).is_dir()
    )


def resolved(
    chain: tuple[str, ...], here: Module, local: Mapping[str, tuple[str, str]], root: Path
) -> tuple[str, str] | None:
    """The module and name in the repository that `chain` (`helpers.mean` as a tuple) reads; None for anything else."""
    base = chain[0]
    imported = local.get(base) or here.imports.get(base)
    if imported is None:
        if base in here.definitions:
            return here.name, base
        stars = [star for star in here.stars if (path := file_of(star, root)) and _has(read(path, star), base)]
        return (stars[0], base) if stars else None
    place = ".".join(part for part in imported if part)
    if imported[1] and not is_module(place, root):
        return imported if file_of(imported[0], root) else None
    for name in chain[1:]:
        if not is_module(f"{place}.{name}", root):
            return (place, name) if file_of(place, root) else None
        place = f"{place}.{name}"
    return None


def _has(module: Module, name: str) -> bool:
    return name in module.definitions or name in module.imports


def dotted(node: ast.expr) -> tuple[str, ...]:
    """`("a", "b", "c")` of `a.b.c`; empty where it begins with something else than a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def imported_inside(nodes: list[ast.stmt], module: str, path: Path) -> dict[str, tuple[str, str]]:
    """What is imported inside the definitions themselves."""
    inside = [one for node in nodes for one in ast.walk(node) if isinstance(one, ast.Import | ast.ImportFrom)]
    return _imports(inside, module, path)


def _imports(nodes: Iterable[ast.Import | ast.ImportFrom], module: str, path: Path) -> dict[str, tuple[str, str]]:
    """Imported names as (module, name in it); a star has the number of its line behind it."""
    imports: dict[str, tuple[str, str]] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                imports[alias.asname or first] = (alias.name if alias.asname else first, "")
        else:
            origin = absolute(node, module if path.stem == "__init__" else module.rpartition(".")[0])
            for alias in node.names:
                name = alias.asname or (f"*{node.lineno}" if alias.name == "*" else alias.name)
                imports[name] = (origin, alias.name)
    return imports


def absolute(node: ast.ImportFrom, package: str) -> str:
    """The module that `from … import` names, with the dots of a relative one put in the package's place."""
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


def _touched(node: ast.stmt, known: Mapping[str, object]) -> list[str]:
    """The names on which a module's statement works without defining them: `TABLE.update(…)`, the condition of an `if`.

    What works on no name of the module, such as a library's options, works on all that the module defines.
    """
    if isinstance(node, ast.If | ast.Try):
        inside = {name for inner in _statements([node]) for name in _defined(inner)}
        if inside:
            return sorted(inside)
        if isinstance(node, ast.If) and _is_aside(node.test):
            return []
    elif isinstance(node, ast.Import | ast.ImportFrom | ast.Pass) or _defined(node) or is_text(node):
        return []
    if all(
        isinstance(inner, ast.Import | ast.ImportFrom | ast.Pass | ast.If | ast.Try) for inner in _statements([node])
    ):
        return []
    names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)} & known.keys()
    return sorted(names or known.keys())


def _is_aside(test: ast.expr) -> bool:
    """Whether a condition holds in no run of ours: `__name__ == "__main__"`, `TYPE_CHECKING`."""
    return any(isinstance(one, ast.Name) and one.id in ("__name__", "TYPE_CHECKING") for one in ast.walk(test)) or any(
        isinstance(one, ast.Attribute) and one.attr == "TYPE_CHECKING" for one in ast.walk(test)
    )


def is_text(node: ast.stmt) -> bool:
    """Whether a statement is a text by itself, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
