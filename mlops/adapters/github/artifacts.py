"""Artifacts of workflow runs: what a pull request's run has made, found again from the commit that merged it.

A run of a fork's pull request was made by anybody, so what it left is never taken.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.adapters.files import appearing
from mlops.adapters.github.api import GitHub
from mlops.errors import NothingToDo, OutsideError

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


def artifacts_of(github: GitHub, sha: str, name: str, *, event: str = "") -> Iterator[Artifact]:
    """Artifacts of that name that completed runs of a commit left, newest first; none of a fork's run, none expired.

    `event` names what the runs were for, such as `pull_request`. Needs `actions: read`.
    """
    query = {"head_sha": sha, "status": "completed", **({"event": event} if event else {})}
    runs = list(github.pages("/actions/runs", needs=READ, inside="workflow_runs", **query))
    for run in sorted(runs, key=lambda one: int(one["id"]), reverse=True):
        if run.get("head_sha") != sha or not _at_home(github, run.get("head_repository")):
            continue
        found = list(github.pages(f"/actions/runs/{run['id']}/artifacts", needs=READ, inside="artifacts", name=name))
        for one in sorted(found, key=lambda artifact: int(artifact["id"]), reverse=True):
            if one["name"] == name and not one["expired"]:
                yield _artifact(github, run, one)


def of_pull_request(github: GitHub, merged: str, name: str) -> Artifact:
    """The newest artifact of that name of the pull request that became the commit `merged`.

    NothingToDo where no pull request of this repository did, or none of its runs left one.
    """
    head = head_of(github, merged)
    if not head:
        raise NothingToDo(
            f"no pull request of {github.event.repository} became {merged[:12]}",
            next_step="compute it here: what was pushed directly, or came from a fork, has no work to reuse",
        )
    found = next(artifacts_of(github, head, name, event="pull_request"), None)
    if found is None:
        raise NothingToDo(
            f"no run of the pull request's commit {head[:12]} left an artifact {name!r}",
            next_step="compute it here; an artifact ends with its retention days",
        )
    return found


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


def _artifact(github: GitHub, run: dict[str, Any], one: dict[str, Any]) -> Artifact:
    event = github.event
    return Artifact(
        id=int(one["id"]),
        name=str(one["name"]),
        run=int(run["id"]),
        sha=str(run["head_sha"]),
        size=int(one["size_in_bytes"]),
        url=f"{event.server}/{event.repository}/actions/runs/{run['id']}",
    )


def _at_home(github: GitHub, repository: Any) -> bool:
    """Whether a repository is this one; one that is gone was a fork."""
    name = repository.get("full_name") if isinstance(repository, dict) else ""
    return str(name).lower() == github.event.repository.lower()
