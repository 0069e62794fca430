"""Why a workflow runs: the repository, the commit, the pull request and where it comes from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.errors import OutsideError

_MOST_BYTES = 64 << 20
_ZERO = "0" * 40  # what GitHub calls the commit before a branch's first push


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a workflow run is about.

    `sha` is the commit that people wrote: of a pull request its head, not GitHub's merge of it. `base` is what the
    change is compared with: the base commit of the pull request or of the merge queue's group, or what the branch was
    before the push; "" where none is known. `number` is the pull request's, and `fork` whether its commits come from
    another repository.
    """

    name: str
    repository: str
    sha: str
    workspace: Path
    base: str = ""
    number: int | None = None
    fork: bool = False
    server: str = "https://github.com"
    api: str = "https://api.github.com"
    run: str = ""
    attempt: str = ""
    job: str = ""
    actor: str = ""
    payload: Mapping[str, Any] | None = None

    @property
    def run_url(self) -> str:
        """The page of the workflow run; "" where it has no number."""
        return f"{self.server}/{self.repository}/actions/runs/{self.run}" if self.run else ""

    def blob_url(self, file: str, line: int | None = None) -> str:
        """The page of a file of the repository as it is in this commit."""
        from urllib.parse import quote

        return f"{self.server}/{self.repository}/blob/{self.sha}/{quote(file)}" + (f"#L{line}" if line else "")

    def within(self, path: Path) -> str:
        """A file by its path from the repository's root; as it is where it lies outside."""
        full, root = path.resolve(), self.workspace.resolve()
        return full.relative_to(root).as_posix() if full.is_relative_to(root) else full.as_posix()


def current(environ: Mapping[str, str] = os.environ) -> Event | None:
    """The event that this workflow runs for; None outside of Actions."""
    if environ.get("GITHUB_ACTIONS") != "true":
        return None
    payload = _payload(environ.get("GITHUB_EVENT_PATH", ""))
    pull = _table(payload.get("pull_request"))
    repository = environ.get("GITHUB_REPOSITORY", "")
    return Event(
        name=environ.get("GITHUB_EVENT_NAME", ""),
        repository=repository,
        sha=str(_table(pull.get("head")).get("sha") or environ.get("GITHUB_SHA", "")),
        workspace=Path(environ.get("GITHUB_WORKSPACE") or "."),
        base=_base(pull, payload),
        number=int(pull["number"]) if str(pull.get("number", "")).isdigit() else None,
        fork=bool(pull) and _is_fork(pull, repository),
        server=environ.get("GITHUB_SERVER_URL") or "https://github.com",
        api=(environ.get("GITHUB_API_URL") or "https://api.github.com").rstrip("/"),
        run=environ.get("GITHUB_RUN_ID", ""),
        attempt=environ.get("GITHUB_RUN_ATTEMPT", ""),
        job=environ.get("GITHUB_JOB", ""),
        actor=environ.get("GITHUB_ACTOR", ""),
        payload=payload,
    )


def _payload(path: str) -> dict[str, Any]:
    """The event file; empty where there is none."""
    file = Path(path)
    if not path or not file.is_file():
        return {}
    if file.stat().st_size > _MOST_BYTES:
        raise OutsideError(f"{file} has more than {_MOST_BYTES >> 20} MB", next_step="unset GITHUB_EVENT_PATH")
    try:
        return _table(json.loads(file.read_bytes()))
    except ValueError as error:
        raise OutsideError(
            f"{file} is not the JSON of an event: {error}", next_step="unset GITHUB_EVENT_PATH, or mend the file"
        ) from None


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_fork(pull: Mapping[str, Any], repository: str) -> bool:
    """Whether the commits are another repository's; a head whose repository is gone was a fork."""
    home = str(_table(_table(pull.get("head")).get("repo")).get("full_name") or "")
    here = str(_table(_table(pull.get("base")).get("repo")).get("full_name") or repository)
    return home.lower() != here.lower()


def _base(pull: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    before = str(payload.get("before") or "")
    queued = _table(payload.get("merge_group")).get("base_sha")
    return str(_table(pull.get("base")).get("sha") or queued or ("" if before == _ZERO else before))
