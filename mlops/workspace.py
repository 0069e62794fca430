"""A project on this machine: its root, configuration, declarations, and the places below `.mlops`."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.adapters.objects import ObjectStore
from mlops.adapters.parquet import parquet_of
from mlops.closure import code_digest
from mlops.config import Config
from mlops.discover import FOLDERS, Catalog, discover
from mlops.errors import Changed
from mlops.pyproject import load

if TYPE_CHECKING:
    import pandas as pd

_FRAMES_KEPT = 12


@dataclass(frozen=True)
class Workspace:
    """What steps are given: where things are, and what the user declared. Made by `open_workspace`."""

    root: Path
    config: Config
    _frames: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @cached_property
    def catalog(self) -> Catalog:
        """The declarations in features/ and models/, checked against the configuration."""
        return self._read[0]

    @property
    def code(self) -> dict[str, str]:
        """The closure digest of each declaration as it was imported; an edit since then does not change it."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[Catalog, dict[str, str]]:
        before = self._written()
        catalog = discover(self.root, self.config)
        declared = (*catalog.views.values(), *catalog.on_demands.values(), *catalog.models.values())
        code = {one.name: code_digest(one, self.root) for one in (*declared, *catalog.checks.values())}
        edited = sorted(str(path.relative_to(self.root)) for path, _ in before ^ self._written())
        if edited:
            raise Changed(edited[0])
        return catalog, code

    def _written(self) -> set[tuple[Path, int]]:
        """The files with declarations, and when each was written."""
        files = (path for folder in FOLDERS for path in (self.root / folder).rglob("*.py"))
        return {(path, path.stat().st_mtime_ns) for path in files}

    @property
    def home(self) -> Path:
        """`.mlops`, where all state of this machine lies."""
        return self.root / ".mlops"

    @cached_property
    def objects(self) -> ObjectStore:
        """Outputs of steps by digest."""
        return ObjectStore(self.home / "store")

    @property
    def releases(self) -> Path:
        """One folder per release: `manifest.json` and `bento/`."""
        return self.home / "releases"

    @property
    def environments(self) -> Path:
        """`<environment>/<family>/pointer.json` and `events.jsonl` below here say what is live."""
        return self.home / "environments"

    @property
    def features(self) -> Path:
        """The embedded feature store."""
        return self.home / "features"

    @property
    def scratch(self) -> Path:
        """Short-lived files of running steps; may be deleted when nothing runs."""
        path = self.home / "scratch"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def frame(self, digest: str) -> pd.DataFrame:
        """The stored Parquet table; read once per process. Do not change it in place."""
        import pandas as pd

        with self._lock:
            known = self._frames.get(digest)
        return self._keep(digest, pd.read_parquet(self.objects.path(digest)) if known is None else known)

    def put_frame(self, frame: pd.DataFrame) -> str:
        """Store a table as Parquet, without its index; gives its digest.

        It is read back before it is used: what a later run finds in the store is what this one works on.
        """
        import pyarrow as pa

        return self.objects.put(parquet_of(pa.Table.from_pandas(frame, preserve_index=False)))

    def _keep(self, digest: str, frame: pd.DataFrame) -> pd.DataFrame:
        with self._lock:
            self._frames[digest] = frame
            while len(self._frames) > _FRAMES_KEPT:
                self._frames.pop(next(iter(self._frames)))
        return frame


def open_workspace(root: Path) -> Workspace:
    """The project in `root`; ConfigError where there is none."""
    return Workspace(root.resolve(), load(root.resolve()))
