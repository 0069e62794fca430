"""Deployments as GitHub's page of environments shows them: what went live where, by which run, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mlops.adapters.github.api import GitHub

NEEDS = "deployments: write"

_DESCRIPTION = 140  # characters
_ON = ("success", "in_progress", "queued", "pending")


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A move of a family's release in an environment, and where people reach it ("" where that is not told)."""

    action: Literal["deploy", "rollback"]
    environment: str
    family: str
    release: str
    reason: str = ""
    url: str = ""


def begin(github: GitHub, move: Move) -> int:
    """Tell that a move is in progress; gives the deployment's number. Needs `deployments: write`.

    No check of the commit is demanded, and nothing is merged into it: our own gates have judged, and a rollback is
    of an older state anyway.
    """
    body = {
        "ref": github.event.sha,
        "task": f"{move.action}:{move.family}",
        "auto_merge": False,
        "required_contexts": [],
        "environment": move.environment,
        "description": _short(move.reason or move.release),
        "payload": {"family": move.family, "release": move.release},
        "production_environment": move.environment == "production",
    }
    number = int(github.send("POST", "/deployments", needs=NEEDS, body=body)["id"])
    _tell(github, number, "in_progress", move, f"{move.action} of {move.release}")
    return number


def end(github: GitHub, number: int, move: Move, *, live: bool, said: str) -> None:
    """Tell how a move ended; where it went well, what was live of this family before is inactive."""
    _tell(github, number, "success" if live else "failure", move, said)
    if not live:
        return
    # GitHub would do that by itself, but for all of an environment: two models live side by side in ours.
    for one in github.pages("/deployments", needs=NEEDS, environment=move.environment):
        if int(one["id"]) == number or _family(one) != move.family:
            continue
        state = _state(github, int(one["id"]))
        if state in _ON:
            _tell(github, int(one["id"]), "inactive", move, f"{move.release} took its place")
        if state == "inactive":
            return  # the older ones were ended when this one was made


def _state(github: GitHub, number: int) -> str:
    states = github.get(f"/deployments/{number}/statuses", needs=NEEDS, per_page=1)
    return str(states[0]["state"]) if states else "pending"


def _tell(github: GitHub, number: int, state: str, move: Move, said: str) -> None:
    body: dict[str, Any] = {
        "state": state,
        "description": _short(said),
        "log_url": github.event.run_url,
        "environment": move.environment,
        "auto_inactive": False,
    }
    if move.url:
        body["environment_url"] = move.url
    github.send("POST", f"/deployments/{number}/statuses", needs=NEEDS, body=body)


def _family(one: dict[str, Any]) -> str:
    payload = one.get("payload")
    return str(payload.get("family", "")) if isinstance(payload, dict) else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _DESCRIPTION else f"{line[: _DESCRIPTION - 1]}…"
