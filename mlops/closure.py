"""The code that a declared function runs, inside the repository: its closure, and the closure's digest.

By syntax tree, so comments, formatting and docstrings do not count; function by function, so an edit of
one feature leaves its neighbours in the same file as they are.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from mlops import syntax
from mlops.declare import Declared

_IGNORED_KEYWORDS = (
    "columns",
    "segments",
    "protected",
)  # descriptions and reports: they do not change what is computed
_HOW = ("window",)  # how far a view may be cut, which check-features proves: it does not change what is computed
_OURS = "mlops"  # the framework is no part of a feature, also where both lie in one folder, as in every bento
_SELF = "§"  # what stands for a definition's own name in its meaning


_LISTED: dict[str, dict[str, str]] = {}
_OUTSIDE: dict[str, frozenset[str]] = {}


@dataclass
class _Walk:
    root: Path
    seen: dict[tuple[str, str], str] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    found: dict[tuple[str, str], Definition] = field(default_factory=dict)
    meanings: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One definition that a function reaches: where it stands, its text, and its code without what does not count."""

    name: str
    file: str
    line: int
    text: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Module:
    """A module's top-level definitions by name, its imported names as (module, name in it), and its star imports."""

    name: str
    text: str
    definitions: Mapping[str, list[ast.stmt]]
    imports: Mapping[str, tuple[str, str]]
    stars: tuple[str, ...]


def code_digest(declared: Declared, root: Path) -> str:
    """The sha256 over all definitions that `declared` reaches in the repository."""
    return function_digest(declared.module, declared.name, root)


def function_digest(module: str, name: str, root: Path) -> str:
    """The sha256 over all definitions that a function reaches in the repository; that of nothing where it is not."""
    walk = _Walk(root)
    _visit(walk, module, name)
    return _digest(walk)


def traced(declared: Declared, root: Path) -> tuple[str, frozenset[str]]:
    """`code_digest`, and the repository's files in which those definitions stand."""
    walk = _Walk(root)
    _visit(walk, declared.module, declared.name)
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
    walk = _Walk(root)
    _visit(walk, declared.module, declared.name)
    files = set(walk.files)
    for name in list(files):
        for parent in Path(name).parents:
            if parent != Path() and (root / parent / "__init__.py").exists():
                files.add((parent / "__init__.py").as_posix())
    return tuple(sorted(files))


def definitions(module: str, name: str, root: Path) -> tuple[Definition, ...]:
    """Every definition that a function reaches in the repository, itself first."""
    walk = _Walk(root)
    _visit(walk, module, name)
    return tuple(walk.found.values())


def meaning(module: str, name: str, root: Path) -> str:
    """The sha256 over what a function computes, wherever it and what it calls stand and however these are called.

    So a moved file, a renamed module or helper and another order do not change it; "" where there is no such function.
    """
    walk = _Walk(root)
    return _meaning(walk, module, name)


def imported_files(paths: Iterable[Path], root: Path) -> tuple[str, ...]:
    """The repository's Python files that these import, and those that they import in turn, relative to the root."""
    found: set[Path] = set()
    waiting = [path for path in paths if path.suffix == ".py"]
    while waiting:
        path = waiting.pop()
        new = {file for module in _imported_modules(path, root) if (file := _file_of(module, root))} - found
        found |= new
        waiting += new
    return tuple(sorted(path.relative_to(root).as_posix() for path in found))


def syntax_digest(path: Path) -> str:
    """The sha256 over all that a Python file says, without comments, formatting and docstrings."""
    try:
        body = syntax.parse(path.read_text(encoding="utf-8")).body
    except (SyntaxError, UnicodeDecodeError):  # pytest says so when it reads it
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return hashlib.sha256("".join(_canonical(node) for node in body if not _is_text(node)).encode()).hexdigest()


def imported_outside(paths: Iterable[Path], root: Path) -> frozenset[str]:
    """The top-level modules that these files import, except what they import of the repository."""
    names = {name.partition(".")[0] for path in paths if path.suffix == ".py" for name in _imported_modules(path, root)}
    return frozenset(name for name in names if name != _OURS and not _is_module(name, root))


def _imported_modules(path: Path, root: Path) -> set[str]:
    """What a file may import, by dotted name, with the packages above; in `from a import b`, b may be a module too."""
    try:
        tree = syntax.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):  # pytest says so when it reads it
        return set()
    parts = path.relative_to(root).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(node, module if path.stem == "__init__" else module.rpartition(".")[0])
            names |= {origin, *(f"{origin}.{alias.name}" for alias in node.names if origin)}
    return {".".join(name.split(".")[: k + 1]) for name in names if name for k in range(name.count(".") + 1)}


def module_of(name: str, root: Path, folders: Iterable[str]) -> str | None:
    """The module below `folders` that defines a decorated function of that name; None where none does."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            for node in _read(path, module).definitions.get(name, ()):
                if isinstance(node, ast.FunctionDef) and node.decorator_list:
                    return module
    return None


def _digest(walk: _Walk) -> str:
    text = "\n".join(f"{module}.{name}={code}" for (module, name), code in sorted(walk.seen.items()))
    digest = hashlib.sha256(text.encode()).hexdigest()
    _OUTSIDE[digest] = frozenset(walk.outside)
    _LISTED[digest] = {f"{d.file}: {d.name}": hashlib.sha256(d.code.encode()).hexdigest() for d in walk.found.values()}
    return digest


def _visit(walk: _Walk, module: str, name: str) -> None:
    path = _file_of(module, walk.root)
    if path is None:
        _read_outside(walk, module)
        return
    if (module, name) in walk.seen:
        return
    here = _read(path, module)
    walk.files.add(path.relative_to(walk.root).as_posix())
    if name in here.imports:
        walk.seen[module, name] = ":".join(here.imports[name])
        _follow_import(walk, here.imports[name])
        return
    nodes = here.definitions.get(name)
    if nodes is None:
        for star in here.stars:
            _visit(walk, star, name)
        return
    walk.seen[module, name] = code = "".join(_canonical(node) for node in nodes)
    walk.found[module, name] = Definition(
        name=name,
        file=path.relative_to(walk.root).as_posix(),
        line=_first_line(nodes[0]),
        text="\n".join(_text(node, here.text) for node in nodes),
        code=code,
    )
    local = _imported(nodes, here.name, path)
    for chain in sorted(_used(nodes)):
        target = _resolved(chain, here, local, walk.root)
        if target is not None and (len(chain) > 1 or chain[0] in local):
            _visit(walk, *target)
        if chain[0] not in local:
            _visit(walk, module, chain[0])
        elif target is None:
            _read_outside(walk, local[chain[0]][0])


def _read_outside(walk: _Walk, module: str) -> None:
    top = module.partition(".")[0]
    if top != _OURS and not _is_module(top, walk.root):
        walk.outside.add(top)


def _follow_import(walk: _Walk, target: tuple[str, str]) -> None:
    module, name = target
    if not name:
        _read_outside(walk, module)
        return
    if _file_of(f"{module}.{name}", walk.root):  # a module: what is used of it is visited where it is used
        return
    _visit(walk, module, name)


def _resolved(
    chain: tuple[str, ...], here: _Module, local: Mapping[str, tuple[str, str]], root: Path
) -> tuple[str, str] | None:
    """The module and name in the repository that `chain` (`helpers.mean` as a tuple) reads; None for anything else."""
    base = chain[0]
    imported = local.get(base) or here.imports.get(base)
    if imported is None:
        if base in here.definitions:
            return here.name, base
        stars = [star for star in here.stars if (path := _file_of(star, root)) and _has(_read(path, star), base)]
        return (stars[0], base) if stars else None
    place = ".".join(part for part in imported if part)
    if imported[1] and not _is_module(place, root):
        return imported if _file_of(imported[0], root) else None
    for name in chain[1:]:
        if not _is_module(f"{place}.{name}", root):
            return (place, name) if _file_of(place, root) else None
        place = f"{place}.{name}"
    return None


def _is_module(place: str, root: Path) -> bool:
    """Whether there is a file, or a folder of files, of that name."""
    return _file_of(place, root) is not None or (
        place.partition(".")[0] != _OURS and root.joinpath(*place.split(".")).is_dir()
    )


def _has(module: _Module, name: str) -> bool:
    return name in module.definitions or name in module.imports


def _meaning(walk: _Walk, module: str, name: str) -> str:
    """The digest of a definition in which every name of another one is replaced by that one's digest."""
    known = walk.meanings.get((module, name))
    path = _file_of(module, walk.root)
    if known is not None or path is None:
        return known or ""
    here = _read(path, module)
    if name in here.imports or name not in here.definitions:
        target = _resolved((name,), here, {}, walk.root)
        return _meaning(walk, *target) if target is not None and target != (module, name) else ""
    walk.meanings[module, name] = name  # inside a circle of definitions a name stands for itself
    nodes = here.definitions[name]
    replaced = _Replaced(walk, here, _imported(nodes, here.name, path), name)
    text = "".join(ast.dump(replaced.visit(_bare(node))) for node in nodes)
    walk.meanings[module, name] = found = hashlib.sha256(text.encode()).hexdigest()
    return found


class _Replaced(ast.NodeTransformer):
    """Puts digests of definitions, and full names of what is imported from elsewhere, where their names stood."""

    def __init__(self, walk: _Walk, here: _Module, local: Mapping[str, tuple[str, str]], own: str) -> None:
        self.walk, self.here, self.local, self.own = walk, here, local, own

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Its own name does not count."""
        if node.name == self.own:
            node.name = _SELF
        return self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> ast.AST:
        """What is imported counts where it is used."""
        return ast.copy_location(ast.Pass(), node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        """What is imported counts where it is used."""
        return ast.copy_location(ast.Pass(), node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """A name by itself."""
        if node.id == self.own:
            return ast.Name(_SELF, node.ctx)
        return self._put((node.id,), node.ctx) or node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """A name in a module of the repository, or an attribute of anything else."""
        chain = _chain(node)
        return (self._put(chain, node.ctx) if chain else None) or self.generic_visit(node)

    def _put(self, chain: tuple[str, ...], context: ast.expr_context) -> ast.AST | None:
        target = _resolved(chain, self.here, self.local, self.walk.root)
        if target is not None:
            if len(chain) > 1 and _resolved(chain[:-1], self.here, self.local, self.walk.root) is not None:
                return None  # an attribute of a definition: its name is replaced further in
            found = _meaning(self.walk, *target)
            return ast.Name(found, context) if found else None
        imported = self.local.get(chain[0]) or self.here.imports.get(chain[0])
        if len(chain) == 1 and imported is not None:
            return ast.Name(":".join(imported), context)
        return None


def _chain(node: ast.expr) -> tuple[str, ...]:
    """`("a", "b", "c")` of `a.b.c`; empty where it begins with something else than a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def _file_of(module: str, root: Path) -> Path | None:
    first, *rest = module.split(".")
    if first == _OURS:
        return None
    base = root.joinpath(first, *rest)
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _read(path: Path, module: str) -> _Module:
    return _parsed(path, module, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _parsed(path: Path, module: str, _changed: int) -> _Module:
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
    return _Module(name=module, text=text, definitions=found, imports=plain, stars=stars)


def _imported(nodes: list[ast.stmt], module: str, path: Path) -> dict[str, tuple[str, str]]:
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
            origin = _absolute(node, module if path.stem == "__init__" else module.rpartition(".")[0])
            for alias in node.names:
                name = alias.asname or (f"*{node.lineno}" if alias.name == "*" else alias.name)
                imports[name] = (origin, alias.name)
    return imports


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
    elif isinstance(node, ast.Import | ast.ImportFrom | ast.Pass) or _defined(node) or _is_text(node):
        return []
    if all(
        isinstance(inner, ast.Import | ast.ImportFrom | ast.Pass | ast.If | ast.Try) for inner in _statements([node])
    ):
        return []
    names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)} & known.keys()
    return sorted(names or known.keys())


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_aside(test: ast.expr) -> bool:
    """Whether a condition holds in no run of ours: `__name__ == "__main__"`, `TYPE_CHECKING`."""
    return any(isinstance(one, ast.Name) and one.id in ("__name__", "TYPE_CHECKING") for one in ast.walk(test)) or any(
        isinstance(one, ast.Attribute) and one.attr == "TYPE_CHECKING" for one in ast.walk(test)
    )


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
    """Names read in the definitions, and dotted names as tuples."""
    used: set[tuple[str, ...]] = set()
    for node in nodes:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Attribute | ast.Name) and (chain := _chain(inner)):
                used.add(chain)
    return used


def _text(node: ast.stmt, text: str) -> str:
    return "\n".join(text.splitlines()[_first_line(node) - 1 : node.end_lineno])


def _first_line(node: ast.stmt) -> int:
    """The line of the definition, or of its first decorator."""
    return int(min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]))


def _canonical(node: ast.stmt) -> str:
    return ast.dump(_bare(node))


def _bare(node: ast.stmt) -> ast.stmt:
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
