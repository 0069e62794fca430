"""What the releases of a project need: which are kept, and of which steps they came.

Known is what the environments on this machine retain, and what was used lately.
"""

from __future__ import annotations

from collections.abc import Iterable

from mlops.adapters.index import Entry
from mlops.release import Manifest, folder
from mlops.serving.integrity import NotWhole, read_manifest
from mlops.targets import chosen
from mlops.verdict import Record
from mlops.workspace import Workspace


def retained(workspace: Workspace, used: Iterable[tuple[Entry, float]], since: float) -> dict[str, str]:
    """Releases that stay, with the reason: live, kept for a rollback, judged against, or made or used since."""
    kept: dict[str, str] = {}
    for environment in workspace.config.environments:
        target = chosen.target(workspace, environment)
        for family in target.families():
            for place, release in enumerate(target.retained(family)):
                kept.setdefault(release, f"{'live in' if place == 0 else 'kept for a rollback of'} {environment}")
            for release in target.health(family).serving.values():
                kept.setdefault(release, f"served by a worker of {environment}")
    for release in list(kept):
        if readable(workspace, release):
            manifest = read_manifest(folder(workspace.releases, release))
            for champion in filter(None, (manifest.champion, manifest.beside)):
                kept.setdefault(champion, f"what {release} was judged against")
    for entry, at in used:
        if entry.record.step == "register" and at >= since:
            kept.setdefault(str(entry.record.facts["release"]), "made or used lately")
    return kept


def readable(workspace: Workspace, release: str) -> bool:
    """Whether its manifest can be read: one that cannot is kept where it is retained, but names nothing."""
    try:
        read_manifest(folder(workspace.releases, release))
    except NotWhole:
        return False
    return True


def needed(manifests: Iterable[Manifest], used: list[tuple[Entry, float]]) -> set[str]:
    """Keys of the steps that kept releases came of, and of the newest histories of the views that they read."""
    needed: set[str] = set()
    newest = {(e.record.subject, str(e.record.facts.get("code", ""))): e.record for e, _ in used if _built(e.record)}
    made = {(e.record.subject, d): e.record.key for e, _ in used if _built(e.record) for d in e.record.outputs.values()}
    by_key = {entry.record.key: entry.record for entry, _ in used}
    releases = {manifest.release for manifest in manifests}
    for manifest in manifests:
        needed |= set(manifest.records.values())
        needed |= {newest[one].key for one in manifest.features.items() if one in newest}
        joined = by_key.get(manifest.records.get(f"assemble:{manifest.model}", ""))
        for name, digest in (joined.inputs if joined else {}).items():
            key = made.get((name.partition("/")[0].partition(":")[2], digest))
            needed |= {key} if key else set()
    return needed | {r.key for r in by_key.values() if r.step == "register" and str(r.facts["release"]) in releases}


def _built(record: Record) -> bool:
    return record.step == "build-features"
