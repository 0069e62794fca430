"""What a function computes, under whatever names: a digest that a move, a renaming and another order leave as it is."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlops.closure.counted import bare
from mlops.closure.modules import Module, dotted, file_of, imported_inside, read, resolved

_SELF = "§"  # what stands for a definition's own name in its meaning


@dataclass
class _Known:
    """The meanings found so far, by module and name."""

    root: Path
    meanings: dict[tuple[str, str], str] = field(default_factory=dict)


def meaning(module: str, name: str, root: Path) -> str:
    """The sha256 over what a function computes, wherever it and what it calls stand and however these are called.

    So a moved file, a renamed module or helper and another order do not change it; "" where there is no such function.
    """
    return _meaning(_Known(root), module, name)


def _meaning(known: _Known, module: str, name: str) -> str:
    """The digest of a definition in which every name of another one is replaced by that one's digest."""
    found = known.meanings.get((module, name))
    path = file_of(module, known.root)
    if found is not None or path is None:
        return found or ""
    here = read(path, module)
    if name in here.imports or name not in here.definitions:
        target = resolved((name,), here, {}, known.root)
        return _meaning(known, *target) if target is not None and target != (module, name) else ""
    known.meanings[module, name] = name  # inside a circle of definitions a name stands for itself
    nodes = here.definitions[name]
    replaced = _Replaced(known, here, imported_inside(nodes, here.name, path), name)
    text = "".join(ast.dump(replaced.visit(bare(node))) for node in nodes)
    known.meanings[module, name] = found = hashlib.sha256(text.encode()).hexdigest()
    return found


class _Replaced(ast.NodeTransformer):
    """Puts digests of definitions, and full names of what is imported from elsewhere, where their names stood."""

    def __init__(self, known: _Known, here: Module, local: Mapping[str, tuple[str, str]], own: str) -> None:
        self.known, self.here, self.local, self.own = known, here, local, own

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
        chain = dotted(node)
        return (self._put(chain, node.ctx) if chain else None) or self.generic_visit(node)

    def _put(self, chain: tuple[str, ...], context: ast.expr_context) -> ast.AST | None:
        target = resolved(chain, self.here, self.local, self.known.root)
        if target is not None:
            if len(chain) > 1 and resolved(chain[:-1], self.here, self.local, self.known.root) is not None:
                return None  # an attribute of a definition: its name is replaced further in
            found = _meaning(self.known, *target)
            return ast.Name(found, context) if found else None
        imported = self.local.get(chain[0]) or self.here.imports.get(chain[0])
        if len(chain) == 1 and imported is not None:
            return ast.Name(":".join(imported), context)
        return None
