"""What retained releases read: which releases these are, their views, and whether their features are still the same.

Retained is what is live, and what an environment keeps for a rollback. A release brings the source of its features
along, so that "the same" is asked of the code itself: where it stands and how it is formatted does not count.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mlops.closure import Definition, code_digest, definitions, meaning, module_of
from mlops.contract import Contract
from mlops.declare import Declared, FeatureView, OnDemand, split_version
from mlops.discover import FOLDERS
from mlops.gates.pinned import Changed, Holder, Unknown
from mlops.release import BENTO, CONTRACT, PAYLOAD, Manifest, folder
from mlops.serving.integrity import NotWhole, read_manifest
from mlops.targets import chosen
from mlops.workspace import Workspace

_SOURCES = "src"  # of a bento: the project's files


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """A release that an environment retains, with what it is made of and reads."""

    holder: Holder
    family: str
    manifest: Manifest
    contract: Contract

    @property
    def views(self) -> tuple[str, ...]:
        """The views that it reads."""
        return views_of(self.contract)


def retained(workspace: Workspace, *environments: str) -> tuple[tuple[Retained, ...], tuple[Unknown, ...]]:
    """The releases that these environments (none named: all) retain, and those among them that cannot be read."""
    found: list[Retained] = []
    unknown: list[Unknown] = []
    for environment in environments or tuple(workspace.config.environments):
        target = chosen.target(workspace, environment)
        for family in target.families():
            for place, release in enumerate(target.retained(family)):
                holder = Holder(release=release, environment=environment, live=place == 0)
                try:
                    manifest, contract = read(workspace, release)
                except NotWhole as error:
                    reason = error.message.replace(f"{workspace.root}/", "")  # verdicts name no place of one machine
                    unknown.append(Unknown(holder=holder, reason=reason))
                    continue
                found.append(Retained(holder=holder, family=family, manifest=manifest, contract=contract))
    return tuple(found), tuple(unknown)


def read(workspace: Workspace, release: str) -> tuple[Manifest, Contract]:
    """A release's manifest and contract; NotWhole where one of them cannot be read."""
    place = folder(workspace.releases, release)
    manifest = read_manifest(place)
    try:
        return manifest, msgspec.json.decode((place / PAYLOAD / CONTRACT).read_bytes(), type=Contract)
    except (OSError, msgspec.DecodeError) as error:
        raise NotWhole(
            f"the release {release} is not whole: {CONTRACT} cannot be read: {error}",
            next_step="restore the folder from a copy, or make the release again: `mlops run`",
        ) from error


def views_of(contract: Contract) -> tuple[str, ...]:
    """The views that a release reads, in order."""
    return tuple(dict.fromkeys(stored.view for stored in contract.stored))


def kept(workspace: Workspace, families: Iterable[str] | None = None) -> tuple[FeatureView, ...]:
    """The declared views that a retained release of these families (None: any) reads, in whatever environment."""
    wanted = None if families is None else set(families)
    declared = workspace.catalog.views
    releases, _ = retained(workspace)
    names = [name for one in releases if wanted is None or one.family in wanted for name in one.views]
    return tuple(declared[name] for name in dict.fromkeys(names) if name in declared)


def changed(workspace: Workspace, releases: Iterable[Retained]) -> tuple[Changed, ...]:
    """The features of these releases that are gone or were edited, each digest once, with all who pin it."""
    holders: dict[tuple[str, str], list[Retained]] = {}
    for one in releases:
        for name, digest in one.manifest.features.items():
            holders.setdefault((name, digest), []).append(one)
    return tuple(
        _described(workspace, name, digest, pinning)
        for (name, digest), pinning in sorted(holders.items())
        if not same(workspace, name, pinning[0].manifest)
    )


def same(workspace: Workspace, name: str, manifest: Manifest) -> bool:
    """Whether a feature that a release pins is declared, and computes what it did for that release."""
    declared = _declared(workspace, name)
    if declared is None:
        return False
    if code_digest(declared, workspace.root) == manifest.features.get(name):
        return True
    # The digest counts where things stand, and differs between versions of Python; the source is asked instead.
    here, there = meaning(declared.module, name, workspace.root), _meaning_of(workspace, name, manifest.release)
    return bool(there) and here == there


def source(workspace: Workspace, name: str, release: str) -> str:
    """The file of a release's own copy of the project that holds a feature, relative to the root; "" without one."""
    root = _sources(workspace, release)
    module = module_of(name, root, FOLDERS)
    found = definitions(module, name, root) if module else ()
    return (root / found[0].file).relative_to(workspace.root).as_posix() if found else ""


def _declared(workspace: Workspace, name: str) -> FeatureView | OnDemand | None:
    return workspace.catalog.views.get(name) or workspace.catalog.on_demands.get(name)


def _meaning_of(workspace: Workspace, name: str, release: str) -> str:
    root = _sources(workspace, release)
    module = module_of(name, root, FOLDERS)
    return meaning(module, name, root) if module else ""


def _sources(workspace: Workspace, release: str) -> Path:
    return folder(workspace.releases, release) / BENTO / _SOURCES


def _described(workspace: Workspace, name: str, digest: str, pinning: list[Retained]) -> Changed:
    declared = _declared(workspace, name)
    release = pinning[0].manifest.release
    root = _sources(workspace, release)
    module = module_of(name, root, FOLDERS)
    before = definitions(module, name, root) if module else ()
    after = definitions(declared.module, name, workspace.root) if declared else ()
    return Changed(
        name=name,
        pinned=digest,
        holders=tuple(one.holder for one in pinning),
        origin=str(declared.origin) if declared else "",
        source=source(workspace, name, release),
        diff="\n".join(_diff(before, after, release)),
        successor=_successor(workspace, name),
    )


def _successor(workspace: Workspace, name: str) -> str:
    family, version = split_version(name)
    known: list[Declared] = [*workspace.catalog.views.values(), *workspace.catalog.on_demands.values()]
    newest = max([version, *(one.version for one in known if one.family == family)])
    return f"{family}_v{newest + 1}"


def _diff(before: Iterable[Definition], after: Iterable[Definition], release: str) -> Iterator[str]:
    """The unified diff of every definition whose code differs; comments and docstrings alone are none."""
    old, new = _by_name(before), _by_name(after)
    for name in dict.fromkeys([*old, *new]):
        was, now = old.get(name), new.get(name)
        if was and now and was.code == now.code:
            continue
        lines = difflib.unified_diff(
            was.text.splitlines() if was else [],
            now.text.splitlines() if now else [],
            f"{release}/{was.file}" if was else "/dev/null",
            now.file if now else "/dev/null",
            lineterm="",
        )
        starts = tuple(one.line - 1 if one else 0 for one in (was, now))
        yield from (_placed(line, starts) if line.startswith("@@ ") else line for line in lines)


def _placed(head: str, starts: tuple[int, ...]) -> str:
    """A hunk's head with the lines of the files instead of those of the definitions."""
    counted = iter(starts)
    return re.sub(r"([-+])(\d+)", lambda found: f"{found[1]}{int(found[2]) + next(counted)}", head)


def _by_name(found: Iterable[Definition]) -> dict[str, Definition]:
    """Definitions by name; of several with one name each has the name of its file too."""
    named: dict[str, Definition] = {}
    for one in found:
        named[one.name if one.name not in named else f"{one.file}:{one.name}"] = one
    return named
