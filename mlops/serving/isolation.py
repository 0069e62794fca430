"""A release's own Python code, loaded beside that of other releases in one process.

Two releases may each bring a package `features` with different code. Each gets a private prefix in
`sys.modules`, and its modules see an `import` that looks below that prefix first. So absolute, relative
and late imports all find the release's own code, without a lock and without swapping what others see.
Bytecode is neither read nor written: only the verified source runs, and the folder stays as it was.
"""

from __future__ import annotations

import builtins
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

_OURS = frozenset({"mlops", "release"})
_numbers = itertools.count(1)


class ReleaseCode:
    """The modules below a release's `src`; `close` forgets them."""

    def __init__(self, source: Path) -> None:
        self._prefix = f"_mlops_release_{next(_numbers)}"
        self._roots = frozenset(_roots(source))
        root = ModuleType(self._prefix)
        root.__path__ = [str(source)]
        sys.modules[self._prefix] = root
        self._finder = _Finder(self._prefix, self._import)
        sys.meta_path.insert(0, self._finder)

    def function(self, module: str, name: str) -> Any:
        """The attribute `name` of the release's module `module`."""
        return getattr(importlib.import_module(f"{self._prefix}.{module}"), name)

    def close(self) -> None:
        """Forget the release's modules."""
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        for name in [n for n in sys.modules if n == self._prefix or n.startswith(f"{self._prefix}.")]:
            del sys.modules[name]

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002  # the signature of builtins.__import__
        locals: Mapping[str, object] | None = None,  # noqa: A002  # the signature of builtins.__import__
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or top not in self._roots:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        if fromlist:
            return builtins.__import__(f"{self._prefix}.{name}", globals, locals, fromlist)
        importlib.import_module(f"{self._prefix}.{name}")
        return sys.modules[f"{self._prefix}.{top}"]


class _Finder(importlib.abc.MetaPathFinder):
    """Finds modules below one prefix, and gives them the release's `import`."""

    def __init__(self, prefix: str, importer: Any) -> None:
        self._prefix = f"{prefix}."
        self._importer = importer

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(self._prefix):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path, self._importer)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs a module's source with the release's own `import`."""

    def __init__(self, fullname: str, path: str, importer: Any) -> None:
        super().__init__(fullname, path)
        self._importer = importer

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._importer}
        super().exec_module(module)


def _roots(source: Path) -> list[str]:
    found = [p.name for p in source.iterdir() if p.is_dir() and not p.name.startswith((".", "_"))]
    found += [p.stem for p in source.glob("*.py")]
    return [name for name in found if name not in _OURS and name.isidentifier()]
