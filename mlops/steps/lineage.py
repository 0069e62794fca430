"""`lineage`: what a release was made of, and where it has been live."""

from __future__ import annotations

from typing import Any

import msgspec

from mlops.release import Manifest, folder
from mlops.serving.integrity import read_manifest
from mlops.targets import chosen
from mlops.verdict import Record
from mlops.workspace import Workspace

VERSION = 1


def lineage(workspace: Workspace, *, release: str) -> Record:
    """Facts: `manifest`, `up` (what made the release) and `down` (where it was live)."""
    name = chosen.release(workspace, release)
    manifest = read_manifest(folder(workspace.releases, name))
    return Record(
        step="lineage",
        subject=name,
        facts={
            "release": name,
            "up": _up(manifest),
            "down": _down(workspace, manifest),
            "manifest": msgspec.to_builtins(manifest),
        },
    )


def _up(manifest: Manifest) -> dict[str, Any]:
    return {
        "commit": manifest.commit + (" (with unsaved changes)" if manifest.dirty else ""),
        "model": {
            manifest.model: manifest.code,
            "form": manifest.form,
            "judged against": manifest.champion or "nothing",
        },
        "features": dict(manifest.features),
        "data": dict(manifest.snapshot),
        "training table": manifest.training,
        "parameters": dict(manifest.params),
        "metrics": dict(manifest.metrics),
        "gates": dict(manifest.evidence),
        "environment": manifest.environment,
    }


def _down(workspace: Workspace, manifest: Manifest) -> list[dict[str, Any]]:
    moves = []
    for environment in workspace.config.environments:
        target = chosen.target(workspace, environment)
        if manifest.family in target.families():
            events = target.history(manifest.family)
            moves += [msgspec.to_builtins(e) for e in events if manifest.release in (e.to, e.previous)]
    return sorted(moves, key=lambda event: str(event["at"]))
