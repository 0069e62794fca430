"""What earlier runs of this repository handed on as artifacts: whose may be taken, and which are wanted.

An artifact counts by the commit that its run was about. A fork's is never taken. What is live somewhere is believed of
the default branch alone; what was computed, of this branch, of the pull request that was merged, and of the default
branch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.adapters.github.artifacts import READ, Artifact, fetch, head_of
from mlops.errors import OutsideError

if TYPE_CHECKING:
    from mlops.adapters.github.api import GitHub

COMPUTED = "mlops-state"
ENVIRONMENT = "mlops-environment-"

_LOOKED_AT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An artifact, with the branch that its run was about."""

    artifact: Artifact
    branch: str
    created: str
    expired: bool


def environment(github: GitHub, name: str) -> Artifact | None:
    """The newest state of an environment; None where none was ever handed on. Needs `actions: read`.

    OutsideError where it has expired: what is live is not known then, and must not be taken for nothing.
    """
    newest = _newest(github, f"{ENVIRONMENT}{name}", _default_branch(github))
    if newest is not None and newest.expired:
        raise OutsideError(
            f"the artifact that tells what is live in {name}, of {newest.created}, has expired: {newest.artifact.url}",
            next_step=f"delete it there to begin {name} anew; a runner of your own keeps its state",
        )
    return newest.artifact if newest else None


def computed(github: GitHub) -> tuple[Artifact, ...]:
    """The newest artifacts of what was computed for this branch, for what was merged, and for the default branch.

    Needs `actions: read`, and after a push `pull-requests: read`.
    """
    found = [one for one in _trusted(github, COMPUTED) if not one.expired]
    merged = head_of(github, github.event.sha) if github.event.name == "push" else ""
    branches = (*_own_branch(github), _default_branch(github))
    wanted = [next((one for one in found if merged and one.artifact.sha == merged), None)]
    wanted += [next((one for one in found if one.branch == branch), None) for branch in branches]
    return tuple({one.artifact.id: one.artifact for one in wanted if one is not None}.values())


def download(github: GitHub, artifact: Artifact, folder: Path) -> Path:
    """The state file of an artifact, put into `folder`; OutsideError where the artifact holds anything else."""
    files = sorted(fetch(github, artifact, folder / f"{artifact.name}-{artifact.id}").rglob("*.tar"))
    if len(files) != 1:
        raise OutsideError(
            f"the artifact {artifact.name!r} of {artifact.url} is not what `mlops state export` wrote",
            next_step="delete it there, and run the workflow again",
        )
    return files[0]


def _newest(github: GitHub, name: str, branch: str) -> Listed | None:
    """The newest artifact of that name and branch, however many other branches have uploaded since.

    GitHub lists the newest first, within a page or so: it is looked for until one is found, and for a page after that.
    """
    found: list[Listed] = []
    after = 0
    for entry in github.pages("/actions/artifacts", needs=READ, inside="artifacts", name=name):
        one = _listed(github, entry) if entry["name"] == name else None
        found += [one] if one is not None and one.branch == branch else []
        after += 1 if found else 0
        if after > _LOOKED_AT:
            break
    return max(found, key=_age, default=None)


def _age(one: Listed) -> tuple[str, int]:
    return one.created, one.artifact.id


def _trusted(github: GitHub, name: str) -> list[Listed]:
    """The artifacts of that name that runs of this repository's own commits uploaded, the newest first."""
    listed = github.pages("/actions/artifacts", needs=READ, inside="artifacts", name=name)
    found = [_listed(github, one) for one in itertools.islice(listed, _LOOKED_AT) if one["name"] == name]
    return sorted(filter(None, found), key=_age, reverse=True)


def _listed(github: GitHub, entry: Mapping[str, Any]) -> Listed | None:
    run: Mapping[str, Any] = entry.get("workflow_run") or {}
    here, head = run.get("repository_id"), run.get("head_repository_id")
    if here is None or here != head:  # a fork's, or of a run that is gone
        return None
    event = github.event
    artifact = Artifact(
        id=int(entry["id"]),
        name=str(entry["name"]),
        run=int(run["id"]),
        sha=str(run.get("head_sha") or ""),
        size=int(entry.get("size_in_bytes") or 0),
        url=f"{event.server}/{event.repository}/actions/runs/{run['id']}",
    )
    return Listed(
        artifact=artifact,
        branch=str(run.get("head_branch") or ""),
        created=str(entry.get("created_at") or ""),
        expired=bool(entry.get("expired")),
    )


def _own_branch(github: GitHub) -> Iterator[str]:
    """The branch that this run is about, where it is one of this repository."""
    payload = github.event.payload or {}
    pull = payload.get("pull_request")
    if pull and not github.event.fork:
        yield str(pull["head"]["ref"])
    elif not pull and str(payload.get("ref") or "").startswith("refs/heads/"):
        yield str(payload["ref"]).removeprefix("refs/heads/")


def _default_branch(github: GitHub) -> str:
    repository = (github.event.payload or {}).get("repository") or {}
    return str(repository.get("default_branch") or github.get("", needs="contents: read")["default_branch"])
