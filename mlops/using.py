"""Commands say that they use the store, so that nothing is collected under them; `mlops gc` and they take turns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mlops.adapters.lock import locked, shared
from mlops.workspace import Workspace

_LOCK = ".using.lock"
_COLLECTING = "what is needed no more is being collected"
_WORKING = "the store is being used"


@contextmanager
def using(workspace: Workspace) -> Iterator[None]:
    """Keep what is in the store until the block ends; many may at once.

    Where the project cannot be written to there is no lock, and nothing that could be collected either.
    """
    if os.access(workspace.home, os.W_OK):
        with shared(workspace.home / _LOCK, _COLLECTING):
            yield
    else:
        yield


@contextmanager
def collecting(workspace: Workspace, *, seconds: float = 10.0) -> Iterator[None]:
    """Be the only one; OutsideError naming a process that uses the store when it does so for longer than `seconds`."""
    with locked(workspace.home / _LOCK, _WORKING, seconds=seconds):
        yield
