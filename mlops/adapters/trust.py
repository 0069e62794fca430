"""Who computes here: somebody who may write to the repository, or a fork's pull request.

A fork's run executes code that nobody has reviewed, so what it computed is marked, and never used by another run.
"""

from __future__ import annotations

from mlops.adapters.github.event import current
from mlops.errors import OutsideError

_UNKNOWN = "a pull request whose event cannot be read"


def fork() -> str:
    """The fork whose run this is, such as `ann/churn, pull request 7`; "" where the code is the repository's own.

    A pull request's run whose event does not tell where it comes from counts as a fork's.
    """
    try:
        event = current()
    except OutsideError:
        return _UNKNOWN
    if event is None or not event.name.startswith("pull_request"):  # a comment's run is of the default branch
        return ""
    payload = event.payload or {}
    if event.number is None or not isinstance(payload.get("pull_request"), dict):
        return _UNKNOWN
    if not event.fork:
        return ""
    head = payload["pull_request"].get("head")
    home = (head.get("repo") or {}).get("full_name") if isinstance(head, dict) else ""
    return f"{home or 'a deleted repository'}, pull request {event.number}"
