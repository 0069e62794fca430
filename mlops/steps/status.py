"""`status`: what is live in an environment, since when, by whom and why, and what runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlops.release import folder
from mlops.serving.integrity import NotWhole, read_manifest
from mlops.targets import chosen
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.targets.protocol import Target
    from mlops.workspace import Workspace

VERSION = 1


def status(workspace: Workspace, *, environment: str, rows: int = 10) -> Record:
    """Facts under `families`, one entry each: `standing`, `health`, and the newest `rows` events of `history`."""
    target = chosen.target(workspace, environment)
    families = [_family(workspace, target, name, rows) for name in target.families()]
    return Record(step="status", subject=environment, facts={"environment": environment, "families": families})


def _overridden(workspace: Workspace, release: str | None) -> dict[str, str]:
    """The gates whose "no" a person let pass for this release, with who, until when and why."""
    place = folder(workspace.releases, release or "")
    if not release or not place.is_dir():  # it was registered elsewhere
        return {}
    try:
        evidence = read_manifest(place).evidence
    except NotWhole:
        return {}
    return {gate: said for gate, said in evidence.items() if said.startswith("overridden")}


def _family(workspace: Workspace, target: Target, name: str, rows: int) -> dict[str, Any]:
    standing, health = target.standing(name), target.health(name)
    other = sorted({release for release in health.serving.values() if release != standing.live})
    return {
        "family": name,
        "standing": asdict(standing),
        "health": {**asdict(health), "serving_other": other},
        "overridden": _overridden(workspace, standing.live),
        "history": [asdict(event) for event in target.history(name)[-rows:][::-1]],
    }
