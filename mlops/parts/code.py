"""A declared function in another process, found by its name, with the code that it is to have there."""

from __future__ import annotations

import importlib
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from mlops.closure import code_digest
from mlops.declare import Declared, Origin
from mlops.discover import with_root_first
from mlops.errors import OutsideError

_importing = threading.Lock()
_imported: dict[tuple[str, str, str], str] = {}
"""The code with which each module was imported: a worker may live longer than an edit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a declared function is found: in a project's folder, by module and name, with the digest of its code."""

    root: str
    module: str
    name: str
    origin: Origin
    code: str


def place_of(declared: Declared, root: Path) -> Place:
    """The place of a declaration of this project."""
    code = code_digest(declared, root)
    return Place(root=str(root), module=declared.module, name=declared.name, origin=declared.origin, code=code)


def declared_at(place: Place) -> Declared:
    """The declaration in this process; OutsideError where the folder is not there, or its code is another."""
    root = Path(place.root)
    if not root.is_dir():
        raise OutsideError(
            f"a worker does not see {root}",
            next_step="keep the project in a folder that every worker mounts at the same place",
        )
    known = (place.root, place.module, place.name)
    with _importing:
        if sys.path[:1] != [place.root]:
            with_root_first(root)
        if _imported.get(known, place.code) != place.code:
            top = place.module.partition(".")[0]
            for name in [n for n in sys.modules if n.partition(".")[0] == top]:
                del sys.modules[name]
            with_root_first(root)
        found = getattr(importlib.import_module(place.module), place.name, None)
        if not isinstance(found, Declared) or code_digest(found, root) != place.code:
            raise OutsideError(
                f"{place.origin}: {place.name} was edited while it was being computed", next_step="run again"
            )
        _imported[known] = place.code
    return replace(found, origin=place.origin)
