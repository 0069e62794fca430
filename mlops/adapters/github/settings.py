"""What a repository's settings on GitHub hold, as far as a token may read them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from mlops.adapters import git
from mlops.adapters.github.api import GitHub, client
from mlops.adapters.github.event import Event, current

_REMOTE = re.compile(
    r"^(?:git@|ssh://git@|https?://(?:[^@/]+@)?)(?P<host>[^/:]+)[:/](?P<name>[^/]+/[^/]+?)(?:\.git)?/?$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An environment of GitHub's, and whether somebody must agree before a job enters it."""

    name: str
    reviewed: bool


def of_repository(root: Path, environ: Mapping[str, str] = os.environ) -> GitHub | None:
    """GitHub for the repository that `origin` names, or that the job runs for; None without either or without a token.

    The token is sent to github.com, or where GITHUB_SERVER_URL says, and to no other host that a remote may name.
    """
    event = current(environ)
    if event is None:
        found = _REMOTE.match(git.remote(root))
        server = environ.get("GITHUB_SERVER_URL") or "https://github.com"
        if found is None or found["host"] != urlsplit(server).hostname:
            return None
        api = environ.get("GITHUB_API_URL") or "https://api.github.com"
        event = Event(name="", repository=found["name"], sha="", workspace=root, server=server, api=api.rstrip("/"))
    return client(event, hurried=True, environ=environ)


def default_branch(github: GitHub) -> str:
    """The branch that pull requests go to. Needs `metadata: read`."""
    return str(github.get("", needs="metadata: read")["default_branch"])


def secrets(github: GitHub) -> set[str]:
    """The names of the repository's secrets; those of its organisation are not among them. Needs `secrets: read`."""
    return {str(one["name"]) for one in github.pages("/actions/secrets", needs="secrets: read", inside="secrets")}


def variables(github: GitHub) -> set[str]:
    """The names of the repository's variables. Needs `variables: read`."""
    pages = github.pages("/actions/variables", needs="variables: read", inside="variables")
    return {str(one["name"]) for one in pages}


def environments(github: GitHub) -> dict[str, Place]:
    """The repository's environments. Needs `actions: read`."""
    pages = github.pages("/environments", needs="actions: read", inside="environments")
    return {
        str(one["name"]): Place(
            name=str(one["name"]),
            reviewed=any(rule.get("type") == "required_reviewers" for rule in one.get("protection_rules") or ()),
        )
        for one in pages
    }


def required_checks(github: GitHub, branch: str) -> set[str] | None:
    """The checks that must pass before something reaches a branch; None where pushes to it are not restricted at all.

    By rulesets, whose rules anybody who may read the repository sees. Needs `metadata: read`.
    """
    rules = list(github.pages(f"/rules/branches/{quote(branch, safe='')}", needs="metadata: read"))
    found: set[str] = set()
    for rule in rules:
        if rule.get("type") == "required_status_checks":
            checks = (rule.get("parameters") or {}).get("required_status_checks") or ()
            found |= {str(one["context"]) for one in checks}
    held = {rule.get("type") for rule in rules} & {"pull_request", "required_status_checks", "update"}
    return found if held else None


def protected_checks(github: GitHub, branch: str) -> set[str] | None:
    """The same by branch protection, the older way; None where the branch has none. Needs `administration: read`."""
    from mlops.errors import NotFound

    try:
        whole = github.get(f"/branches/{quote(branch, safe='')}/protection", needs="administration: read")
    except NotFound:
        return None
    checks = whole.get("required_status_checks") or {}
    return {str(one["context"]) for one in checks.get("checks") or ()} | set(checks.get("contexts") or ())
