"""`status`: what is live in an environment, since when, by whom and why, what runs, and how fresh its features are."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.release import folder
from mlops.serving.integrity import NotWhole, read_manifest
from mlops.stores import online_file
from mlops.stores.online import Published
from mlops.stores.reading import expired, published
from mlops.targets import chosen, trying
from mlops.targets.local import LocalTarget
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.targets.protocol import Target
    from mlops.workspace import Workspace

VERSION = 1


def status(workspace: Workspace, *, environment: str, rows: int = 10, now: float | None = None) -> Record:
    """Facts under `families`, one entry each: `standing`, `health`, and the newest `rows` events of `history`.

    Under `views` what is online of each feature view: `entities`, the newest row's time and its age at `now` (default:
    now), the share of entities whose values are past their time to live, and when it was published.
    """
    target = chosen.target(workspace, environment)
    families = [_family(workspace, target, name, rows) for name in target.families()]
    place = workspace.environments / environment / online_file(workspace.config)
    moment = time.time() if now is None else now
    views = [_view(place, one, moment) for one in published(place)]
    facts = {"environment": environment, "families": families, "views": views}
    return Record(step="status", subject=environment, facts=facts)


def _family(workspace: Workspace, target: Target, name: str, rows: int) -> dict[str, Any]:
    standing, health = target.standing(name), target.health(name)
    other = sorted({release for release in health.serving.values() if release != standing.live})
    return {
        "family": name,
        "standing": asdict(standing),
        "health": {**asdict(health), "serving_other": other},
        "overridden": _overridden(workspace, standing.live),
        "trials": _trials(target, name),
        "history": [asdict(event) for event in target.history(name)[-rows:][::-1]],
    }


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


def _trials(target: Target, name: str) -> list[dict[str, Any]]:
    """What is on trial, how far it is, and which process judges it; None where that one died, or it is held."""
    if not isinstance(target, LocalTarget):
        return []
    place = target.folder / name
    journals = [one for kind in trying.KINDS if (one := trying.read_journal(place, kind)) is not None]
    return [
        {
            "kind": one.kind,
            "release": one.release,
            "share": one.share,
            "since": one.since,
            "who": one.who,
            "spent": one.spent,
            "seconds": one.seconds,
            "held": one.held,
            "judge": trying.judge_of(place, one.kind),
        }
        for one in journals
    ]


def _view(place: Path, one: Published, now: float) -> dict[str, Any]:
    gone = expired(place, one.view, now)
    return {
        "view": one.view,
        "entity": one.entity,
        "entities": one.rows,
        "newest": None if one.newest is None else _iso(one.newest),
        "age_seconds": None if one.newest is None else max(0.0, now - one.newest),
        "expired": None if gone is None or not one.rows else gone / one.rows,
        "published": _iso(one.published),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
