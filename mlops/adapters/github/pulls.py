"""Pull requests that a workflow opens, and events by which it starts another; both need no git and no checkout."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from mlops.adapters.github.api import GitHub
from mlops.errors import OutsideError, UsageError

WRITE, PULLS = "contents: write", "pull-requests: write"

_MOST_KEYS, _MOST_BYTES = 10, 65_536  # of what an event carries


def open_pull_request(
    github: GitHub, *, branch: str, title: str, body: str, files: Mapping[str, bytes], base: str = ""
) -> dict[str, Any]:
    """The pull request from `branch` that puts these files (paths from the repository's root) into `base`.

    Gives GitHub's own values, of which `number` and `html_url` are of use. The branch holds one commit on top of `base`
    (the default branch, where none is named); where it is there already it is moved, and its open pull request updated:
    so a second call changes, and opens no second one. Needs `contents: write` and `pull-requests: write`, and that the
    repository allows Actions to open pull requests.

    What is opened with a job's own token starts no workflow: GitHub's guard against loops. Start them with
    `dispatch`, or give the job the token of a GitHub App.
    """
    base = base or str(github.get("", needs="metadata: read")["default_branch"])
    if branch == base:
        raise UsageError(f"a pull request needs a branch beside {base}", next_step="name another branch")
    _point(github, branch, _commit(github, base, title, files))
    owner = github.event.repository.partition("/")[0]
    already = github.get("/pulls", needs=PULLS, head=f"{owner}:{branch}", state="open")
    told = {"title": title, "body": body}
    if already:
        number = already[0]["number"]
        return dict(github.send("PATCH", f"/pulls/{number}", needs=PULLS, body={**told, "base": base}))
    return dict(github.send("POST", "/pulls", needs=PULLS, body={**told, "head": branch, "base": base}))


def dispatch(github: GitHub, event_type: str, payload: Mapping[str, Any]) -> None:
    """Start the workflows that listen to `repository_dispatch` of this type, on the default branch.

    The payload is theirs as `github.event.client_payload`: at most 10 keys and 64 KB. Needs `contents: write`. Unlike
    a push or a pull request, this starts workflows with a job's own token too.
    """
    if not 0 < len(event_type) <= 100:
        raise UsageError(f"the event type {event_type!r} has not 1 to 100 characters", next_step="give it a short name")
    if len(payload) > _MOST_KEYS or len(msgspec.json.encode(payload)) > _MOST_BYTES:
        raise UsageError(
            f"an event carries at most {_MOST_KEYS} keys and {_MOST_BYTES >> 10} KB",
            next_step="put what is long into an artifact, and its name into the event",
        )
    body = {"event_type": event_type, "client_payload": dict(payload)}
    github.send("POST", "/dispatches", needs=WRITE, body=body)


def _commit(github: GitHub, base: str, title: str, files: Mapping[str, bytes]) -> str:
    """A commit on top of a branch in which these files are as they are given."""
    parent = github.get(f"/git/ref/heads/{base}", needs=WRITE)["object"]["sha"]
    below = github.get(f"/git/commits/{parent}", needs=WRITE)["tree"]["sha"]
    entries = [
        {"path": path, "mode": "100644", "type": "blob", "sha": _blob(github, data)} for path, data in files.items()
    ]
    tree = github.send("POST", "/git/trees", needs=WRITE, body={"base_tree": below, "tree": entries})["sha"]
    commit = {"message": title, "tree": tree, "parents": [parent]}
    return str(github.send("POST", "/git/commits", needs=WRITE, body=commit)["sha"])


def _blob(github: GitHub, data: bytes) -> str:
    body = {"content": base64.b64encode(data).decode(), "encoding": "base64"}
    return str(github.send("POST", "/git/blobs", needs=WRITE, body=body)["sha"])


def _point(github: GitHub, branch: str, commit: str) -> None:
    """Let a branch be at a commit, whether it is there or not."""
    try:
        github.send("POST", "/git/refs", needs=WRITE, body={"ref": f"refs/heads/{branch}", "sha": commit})
    except OutsideError as error:
        if "already exists" not in error.message:
            raise
        github.send("PATCH", f"/git/refs/heads/{branch}", needs=WRITE, body={"sha": commit, "force": True})
