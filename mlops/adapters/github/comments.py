"""The one comment of a project on a pull request, and the status of a gate on a commit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from mlops.adapters.github.api import GitHub

LIMIT = 65_536
"""Characters of a comment; GitHub refuses a longer one."""

PULLS, STATUSES = "pull-requests: write", "statuses: write"

_DESCRIPTION = 140  # characters of a status
_MARKER = re.compile(r"<!-- mlops report of (?P<key>[^ ]+) run (?P<run>\d+) -->")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of a comment: its page, and whether it is new, changed, or left because a newer run wrote it."""

    url: str
    how: Literal["written", "updated", "left"]


def upsert(github: GitHub, number: int, key: str, body: str) -> Told:
    """Write the comment of `key` (a project) on a pull request, or update the one that is there; never a second one.

    A hidden marker names the project and the run. A comment of a newer run is left: a run that ends late must not
    put its older report in its place. A comment that a person wrote is never taken for ours, whatever it begins with.
    Needs `pull-requests: write`.
    """
    whole = _whole(github, key, body)
    told = update(github, number, key, body)
    if told is not None:
        return told
    made = github.send("POST", f"/issues/{number}/comments", needs=PULLS, body={"body": whole})
    return Told(url=str(made["html_url"]), how="written")


def update(github: GitHub, number: int, key: str, body: str) -> Told | None:
    """Update the comment of a project as `upsert` does; None where there is none, and then none is written."""
    found = _ours(github, number, key)
    if found is None:
        return None
    comment, written_by = found
    if written_by > _run(github):
        return Told(url=str(comment["html_url"]), how="left")
    body = _whole(github, key, body)
    github.send("PATCH", f"/issues/comments/{comment['id']}", needs=PULLS, body={"body": body})
    return Told(url=str(comment["html_url"]), how="updated")


def _whole(github: GitHub, key: str, body: str) -> str:
    whole = f"{marker(key, _run(github))}\n{body}"
    if len(whole) > LIMIT:
        raise ValueError(f"a comment holds {LIMIT:,} characters, not {len(whole):,}")
    return whole


def _run(github: GitHub) -> int:
    return int(github.event.run or 0)


def marker(key: str, run: int) -> str:
    """The line that a comment of ours begins with; nobody sees it."""
    return f"<!-- mlops report of {re.sub(r'[^A-Za-z0-9._/]', '_', key)} run {run} -->"


def set_status(github: GitHub, context: str, state: Literal["success", "failure", "error"], description: str) -> None:
    """Set the status of one gate on the commit, with a link to the run. Needs `statuses: write`."""
    short = description if len(description) <= _DESCRIPTION else f"{description[: _DESCRIPTION - 1]}…"
    body = {"state": state, "context": context, "description": short, "target_url": github.event.run_url}
    github.send("POST", f"/statuses/{github.event.sha}", needs=STATUSES, body=body)


def _ours(github: GitHub, number: int, key: str) -> tuple[dict[str, Any], int] | None:
    """Our comment, and the run that wrote it."""
    me: str | None = None
    for comment in github.pages(f"/issues/{number}/comments", needs=PULLS):
        found = _MARKER.match(str(comment.get("body") or ""))
        if found is None or f"{found[0]}" != marker(key, int(found["run"])):
            continue
        author = comment.get("user") or {}
        if author.get("type") != "Bot":
            me = github.me() if me is None else me
            if not me or author.get("login") != me:
                continue
        return comment, int(found["run"])
    return None
