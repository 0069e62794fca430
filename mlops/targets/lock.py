"""One deployment at a time in an environment."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from mlops.adapters.lock import locked

LOCK = ".lock"


def environment_lock(folder: Path, *, seconds: float = 120.0) -> AbstractContextManager[None]:
    """Hold the environment's lock; OutsideError naming the holder when it is not free within `seconds`."""
    return locked(folder / LOCK, f"{folder.name} is being deployed to or rolled back", seconds=seconds)
