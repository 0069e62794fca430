"""Artifacts of workflow runs, and the pull request that a commit on main came from: see `handed_on` for whose count."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.adapters.files import appearing
from mlops.adapters.github.api import GitHub
from mlops.errors import OutsideError

READ, PULLS = "actions: read", "pull-requests: read"
MOST = 4 << 30
"""Bytes of an artifact, packed and unpacked, unless another limit is given."""

_MOST_FILES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What a run uploaded, and of which commit it was."""

    id: int
    name: str
    run: int
    sha: str
    size: int
    url: str


def head_of(github: GitHub, merged: str) -> str:
    """The head commit of the pull request that became the commit `merged`; "" where none of this repository did.

    A pull request from a fork counts as none. Needs `pull-requests: read`.
    """
    for pull in github.pages(f"/commits/{merged}/pulls", needs=PULLS):
        if pull.get("merged_at") and pull.get("merge_commit_sha") == merged and _at_home(github, pull["head"]["repo"]):
            return str(pull["head"]["sha"])
    return ""


def fetch(github: GitHub, artifact: Artifact, into: Path, *, most: int = MOST) -> Path:
    """Download and unpack an artifact into the folder `into`, which appears whole or not at all; gives it.

    OutsideError for one beyond `most` bytes, packed or unpacked, and for names that lead out of the folder.
    """
    if artifact.size > most:
        raise OutsideError(
            f"the artifact {artifact.name!r} of {artifact.url} has {artifact.size >> 20} MB, allowed are {most >> 20}",
            next_step="compute it here, or let the job keep less",
        )
    packed = into.with_name(f".{into.name}.{artifact.id}.zip")
    try:
        github.download(f"/actions/artifacts/{artifact.id}/zip", packed, needs=READ, most=most)
        with appearing(into) as folder:
            _unpack(packed, folder, most)
    finally:
        packed.unlink(missing_ok=True)
    return into


def _unpack(packed: Path, folder: Path, most: int) -> None:
    try:
        with zipfile.ZipFile(packed) as inside:
            members = [one for one in inside.infolist() if not one.is_dir()]
            _refuse(members, most)
            left = most
            for one in members:
                place = folder / one.filename
                place.parent.mkdir(parents=True, exist_ok=True)
                with inside.open(one) as source, place.open("wb") as out:
                    left -= _copied(source, out, left)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise OutsideError(f"the artifact is no zip file: {error}", next_step="compute it here") from None


def _copied(source: Any, out: Any, most: int) -> int:
    """Copy at most so many bytes: what a zip says of its own sizes may be a lie."""
    count = 0
    while chunk := source.read(1 << 20):
        count += len(chunk)
        if count > most:
            raise OutsideError("the artifact holds more than it says", next_step="compute it here")
        out.write(chunk)
    return count


def _refuse(members: list[zipfile.ZipInfo], most: int) -> None:
    for one in members:
        path, kind = Path(one.filename), one.external_attr >> 28
        if path.is_absolute() or ".." in path.parts or "\\" in one.filename or kind == 0o12:
            raise OutsideError(f"the artifact holds {one.filename!r}, which leads out of it", next_step="do not use it")
    if len(members) > _MOST_FILES or sum(one.file_size for one in members) > most:
        raise OutsideError(
            f"the artifact unpacks to more than {most >> 20} MB or {_MOST_FILES:,} files", next_step="compute it here"
        )


def _at_home(github: GitHub, repository: Any) -> bool:
    """Whether a repository is this one; one that is gone was a fork."""
    name = repository.get("full_name") if isinstance(repository, dict) else ""
    return str(name).lower() == github.event.repository.lower()
