"""Whether nothing at all has changed since a run that had nothing to do: then the next one has nothing to do either.

Keys say exactly what has to be done, but to make them the project's code is imported, and with it pandas and
scikit-learn: a second and more, each time. So a run that computed nothing leaves behind what it stood on: size, times
and inode of every file of the project, of its sources, of the releases and pointers, of the packages and of us. While
all of that is as it was, the keys are too, and the report is the same. Anything else goes the long way.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlops.adapters import files, trust
from mlops.adapters.index import Index
from mlops.declare import duration
from mlops.verdict import Outcome, Record, Report

if TYPE_CHECKING:
    from mlops.workspace import Workspace

_FOLDER = "idle"
_MOST = 20_000
"""Files of a project; with more of them, looking at each takes longer than it saves."""

_PASSED_OVER = ("__pycache__", "node_modules", "mlruns")
_VARIABLES = ("MLFLOW_", "MLOPS_", "PYTHON")
_RACY = 100_000_000
"""Nanoseconds: a file that was written as short a time before we looked may be written again without a trace."""


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What an idle run leaves behind."""

    scene: str
    globs: list[str]
    variables: list[str]
    until: float | None  # when the first snapshot of a query or function is too old
    keys: list[str]
    outputs: list[str]
    report: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: two runs that ask for the same have the same report where nothing has changed."""

    root: Path
    command: str
    models: tuple[str, ...]
    until: str
    environment: str | None

    @property
    def home(self) -> Path:
        """`.mlops`."""
        return self.root / ".mlops"

    @property
    def file(self) -> Path:
        """Where the run that asked for the same left what it stood on."""
        name = json.dumps([self.command, self.models, self.until, self.environment])
        return self.home / _FOLDER / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def recall(asked: Asked) -> Report | None:
    """The report of a run that has nothing to do; None where that is not certain."""
    try:
        left = msgspec.json.decode(asked.file.read_bytes(), type=Left)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if time.time() >= (left.until or float("inf")) or trust.fork() or any(asked.home.glob("run-*.json")):
        return None
    if scene(asked, left.globs, left.variables) != left.scene or not _there(asked, left):
        return None
    report = msgspec.convert(json.loads(left.report), Report)
    return replace(report, about={**report.about, "at": f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC"})


def remember(asked: Asked, workspace: Workspace, before: str, report: Report) -> None:
    """Leave behind what a run stood on that had nothing to do; `before` is the scene when it began."""
    globs = _globs(workspace)
    if globs is None or not _idle(workspace, report):
        return
    variables = [source.url_env for source in workspace.config.sources.values() if source.query]
    now = scene(asked, globs, variables)
    if not now or scene(asked) != before:
        return
    left = Left(
        scene=now,
        globs=globs,
        variables=variables,
        until=min((until for r in report.records if (until := _until(workspace, r)) is not None), default=None),
        keys=[record.key for record in report.records if record.key],
        outputs=sorted({digest for record in report.records for digest in record.outputs.values()}),
        report=json.dumps(msgspec.to_builtins(report)),
    )
    files.write_atomically(asked.file, msgspec.json.encode(left))


def scene(asked: Asked, globs: Iterable[str] = (), variables: Iterable[str] = ()) -> str:
    """A digest of all that a run stands on; "" where it is too much to look at, or was written only now."""
    digest = hashlib.sha256(
        repr((sys.version, sys.prefix, sorted(_environment(variables)), _head(asked.root))).encode()
    )
    newest = count = 0
    for name, found in sorted(_stats(asked, globs)):
        count += 1
        newest = max(newest, found.st_mtime_ns, found.st_ctime_ns)
        digest.update(f"{name}\0{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}\n".encode())
    return "" if count > _MOST or time.time_ns() - newest < _RACY else digest.hexdigest()


def _idle(workspace: Workspace, report: Report) -> bool:
    """Whether a run computed nothing, moved nothing and needed nobody's leave, on a machine that we can look at."""
    config = workspace.config
    here = all(config.environments[name].target == "local" for name in report.deployed.values())
    still = all(r.reused or (r.step == "deploy" and r.facts.get("changed") is False) for r in report.records)
    return report.outcome is Outcome.PASS and not report.errors and still and here and config.store.home == "embedded"


def _globs(workspace: Workspace) -> list[str] | None:
    """Files that are read wherever they are; None where what a source holds cannot be seen by looking at files."""
    found: list[str] = []
    for source in workspace.config.sources.values():
        if source.path is None:
            if duration(source.max_age).total_seconds() <= 0:
                return None
        elif "://" in source.path:
            return None
        else:
            place = os.path.join(workspace.root, source.path)  # noqa: PTH118 - a glob is no path
            found += [place, f"{place}/**"] if Path(place).is_dir() else [place]
        found += [str(workspace.root / source.schema)] if source.schema else []
    return found


def _until(workspace: Workspace, record: Record) -> float | None:
    source = workspace.config.sources.get(record.subject) if record.step == "snapshot" else None
    if source is None or source.path:
        return None
    return record.started + duration(source.max_age).total_seconds()


def _there(asked: Asked, left: Left) -> bool:
    """Whether the records and their outputs are still on this machine."""
    store = asked.home / "store"
    if not all((store / digest[:2] / digest[2:]).exists() for digest in left.outputs):
        return False
    index = Index(asked.home / "index.db")
    try:
        if not index.knows(left.keys):
            return False
        for key in left.keys:
            index.touch(key)  # it is used, and `mlops gc` keeps what is used
        return True
    finally:
        index.close()


def _stats(asked: Asked, globs: Iterable[str]) -> Iterator[tuple[str, os.stat_result]]:
    yield from _walk(asked.root, hidden=False)
    yield from _walk(asked.home / "releases")
    for name, found in _walk(asked.home / "environments"):
        base = name.rpartition("/")[2]
        if ".json" in base and "decisions" not in name and base != "recorded.json":
            yield name, found
    yield from _walk(Path(__file__).parent)
    inside = str(asked.root)
    for name in {*sys.path, *(path for pattern in globs for path in glob(pattern, recursive=True))}:  # noqa: PTH207 - from the root of the file system
        if not name or (os.path.commonpath([inside, os.path.abspath(name)]) == inside and os.path.isdir(name)):  # noqa: PTH100, PTH112
            continue
        try:
            yield name, os.stat(name)  # noqa: PTH116 - strings, thousands of them
        except OSError:
            continue


def _walk(folder: Path, *, hidden: bool = True) -> Iterator[tuple[str, os.stat_result]]:
    """Every file below a folder, without environments of Python and what is derived."""
    waiting, seen, count = [str(folder)], set[tuple[int, int]](), 0
    while waiting and count <= _MOST:
        place = waiting.pop()
        try:
            entries = list(os.scandir(place))
        except OSError:
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in entries:
            try:
                found = entry.stat()
                if not entry.is_dir():
                    count += 1
                    yield entry.path, found
                elif (found.st_dev, found.st_ino) not in seen and (hidden or not entry.name.startswith(".")):
                    seen.add((found.st_dev, found.st_ino))  # a link may lead round in a circle
                    waiting += [entry.path] if entry.name not in _PASSED_OVER else []
            except OSError:
                continue


def _environment(names: Iterable[str]) -> list[str]:
    wanted = set(names)
    return [f"{name}={value}" for name, value in os.environ.items() if name.startswith(_VARIABLES) or name in wanted]


def _head(root: Path) -> str:
    """The commit that is checked out, as git's own files say; "" where there is none."""
    for folder in (root, *root.parents):
        place = folder / ".git"
        try:
            if place.is_file():
                place = (folder / place.read_text().removeprefix("gitdir:").strip()).resolve()
            head = (place / "HEAD").read_text().strip()
        except OSError:
            continue
        common = place / "commondir"
        base = (place / common.read_text().strip()).resolve() if common.exists() else place
        name = head.removeprefix("ref: ")
        for ref in (place / name, base / name) if head != name else ():
            if ref.exists():
                return f"{head} {ref.read_text().strip()}"
        packed = base / "packed-refs"
        return f"{head} {packed.stat().st_mtime_ns if packed.exists() else ''}"
    return ""
