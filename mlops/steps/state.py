"""`state`: what this machine has computed as one file, and what another machine has, taken from one.

The file holds the index's records with the objects that they name, the releases, the embedded ledger, and where it is
asked for, environments. Nothing of a file is believed before all of it is proven: see `adapters.bundle`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlops import release as layout
from mlops import retraining
from mlops.adapters import bundle, files, git, ledger_file, trust
from mlops.adapters.bundle import Opened, within
from mlops.adapters.index import Entry, Index
from mlops.adapters.ledger_opening import tracking_uri
from mlops.contract import Contract
from mlops.errors import NothingToDo, OutsideError
from mlops.parts.building import parts_file
from mlops.parts.known import Known
from mlops.recording import Push, executor
from mlops.release import Event, Manifest
from mlops.serving.integrity import NotWhole, verify
from mlops.targets import chosen
from mlops.verdict import Outcome, Record

if TYPE_CHECKING:
    from mlops.adapters.ledger import Ledger
    from mlops.workspace import Workspace

VERSION = 1
KEY = "MLOPS_STATE_KEY"
"""The variable with the secret that seals a file; a fork's run has no secrets, so it cannot make such a seal."""

_PASSING = ("server.json",)  # files of an environment that are true on one machine only


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself."""

    project: str
    by: str
    fork: str
    mlflow: str
    ledger: str
    entries: list[Entry]
    parts: list[tuple[str, str, str]]
    releases: list[str]
    environments: list[str]
    retrains: list[Event] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What an import took, and sentences about what it did not."""

    records: int = 0
    objects: int = 0
    releases: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    retrains: int = 0
    runs: int = 0
    left: tuple[str, ...] = field(default=())


def export(workspace: Workspace, target: Path, *, environments: Sequence[str] = ()) -> Record:
    """Write what this machine has computed to `target`; facts tell how much of what.

    NothingToDo where nothing has been computed yet.
    """
    for name in environments:
        chosen.environment(workspace, name)
    index = Index(workspace.home / "index.db")
    try:
        entries = [e for e in index.entries() if all(map(workspace.objects.has, e.record.outputs.values()))]
    finally:
        index.close()
    if not entries:
        raise NothingToDo("nothing has been computed here yet", next_step="run the pipeline first: `mlops run`")
    scratch = files.scratch_folder(workspace.scratch)
    try:
        return _written(workspace, target, entries, tuple(environments), scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _written(
    workspace: Workspace, target: Path, entries: list[Entry], environments: tuple[str, ...], scratch: Path
) -> Record:
    parts = _parts(workspace)
    manifests = _whole_releases(workspace)
    named = [digest for e in entries for digest in e.record.outputs.values()]
    objects = workspace.objects.reachable([*named, *(content for _, _, content in parts)])
    members = {f"objects/{digest}": workspace.objects.path(digest) for digest in objects}
    for manifest in manifests:
        place = layout.folder(workspace.releases, manifest.release)
        members[f"releases/{manifest.release}/{layout.MANIFEST}"] = place / layout.MANIFEST
        members |= {f"objects/{digest}": place / name for name, digest in manifest.files.items()}
        if (signature := layout.signature_of(place)).is_file():
            members[f"releases/{signature.name}"] = signature
    for name in environments:
        members |= _environment(workspace.environments / name, scratch / name)
    embedded = tracking_uri(workspace.home).startswith("sqlite") and ledger_file.is_there(workspace.home)
    if embedded:
        members |= {f"ledger/{n}": path for n, path in ledger_file.copied(workspace.home, scratch).items()}
    about = About(
        project=workspace.config.name,
        by=executor(),
        fork=trust.fork(),
        mlflow=metadata.version("mlflow"),
        ledger="" if embedded else tracking_uri(workspace.home),
        entries=entries,
        parts=parts,
        releases=[manifest.release for manifest in manifests],
        environments=list(environments),
        retrains=retraining.all_known(workspace),
    )
    size = bundle.write(target, msgspec.json.encode(about), members, os.environ.get(KEY, ""))
    facts = {
        "file": str(target),
        "records": len(entries),
        "objects": sum(name.startswith("objects/") for name in members),
        "releases": about.releases,
        "environments": about.environments,
        "bytes": size,
        "sealed": bool(os.environ.get(KEY)),
        "fork": about.fork,
    }
    return Record(step="state", subject="export", facts=facts)


def take(workspace: Workspace, source: Path) -> Record:
    """Take what another machine has computed from `source`; facts as `Taken`, and `by`, who wrote the file.

    What a fork's run computed is left where it is unless this is a fork's run too. OutsideError for a file that is
    damaged: nothing is taken from it then.
    """
    with bundle.opened(source, workspace.scratch, os.environ.get(KEY, "")) as opened:
        about = msgspec.json.decode(opened.about, type=About)
        if about.project != workspace.config.name:
            raise OutsideError(
                f"{source} is of the project {about.project!r}, this is {workspace.config.name!r}",
                next_step="import it in its own project",
            )
        refused = _refused(about, sealed=opened.sealed)
        taken = Taken(left=(refused,)) if refused else _placed(workspace, about, opened)
    facts = {name: getattr(taken, name) for name in Taken.__dataclass_fields__}
    return Record(step="state", subject="import", facts={**facts, "file": str(source), "by": about.by})


def _refused(about: About, *, sealed: bool) -> str:
    """Why nothing of a file may be used here; "" where it may."""
    if trust.fork():  # what it takes in, nobody else will use
        return ""
    if about.fork:
        return f"nothing was taken: a fork's run wrote the file ({about.fork}), and its code is not reviewed"
    if os.environ.get(KEY) and not sealed:
        return f"nothing was taken: the file is not sealed with the key in {KEY}, so anybody may have written it"
    return ""


def _placed(workspace: Workspace, about: About, opened: Opened) -> Taken:
    """Objects first, then what names them: a kill leaves nothing that is not there."""
    entries = [e for e in about.entries if trust.fork() or not e.fork]
    others = len(about.entries) - len(entries)
    left = [f"{others} records of a fork's run were left"] if others else []
    objects = workspace.objects.adopt(_objects(opened))
    releases = tuple(name for name in about.releases if _release(workspace, name, opened))
    environments = []
    for name in about.environments:
        why = _take_environment(workspace, name, opened)
        environments += [] if why else [name]
        left += [why] if why else []
    if about.parts:
        Known(parts_file(workspace.home)).take(about.parts)
    index = Index(workspace.home / "index.db")
    try:
        new = [e for e in entries if index.find(e.record.key) is None]
        new, runs = _told(workspace, about, opened, new)
        records = index.take(new)
    finally:
        index.close()
    return Taken(
        records=records,
        objects=objects,
        releases=releases,
        environments=tuple(environments),
        retrains=retraining.take(workspace, about.retrains),
        runs=runs,
        left=tuple(left),
    )


def _objects(opened: Opened) -> dict[str, Path]:
    found = {}
    for name, path in opened.members.items():
        kind, _, digest = name.partition("/")
        if kind == "objects":
            if opened.digests[name] != digest:
                raise OutsideError(f"{name} is not what its name says", next_step="export the file again")
            found[digest] = path
    return found


def _told(workspace: Workspace, about: About, opened: Opened, new: list[Entry]) -> tuple[list[Entry], int]:
    """Bring the ledger up to date: whole where there is none here, else a run for each new record; gives how many."""
    ours = tracking_uri(workspace.home)
    if about.ledger == ours or not new:
        return new, 0
    carried = {n.removeprefix("ledger/"): path for n, path in opened.members.items() if n.startswith("ledger/")}
    embedded = ours == f"sqlite:///{workspace.home / ledger_file.DATABASE}"
    if carried and embedded and not ledger_file.is_there(workspace.home) and about.mlflow == metadata.version("mlflow"):
        ledger_file.place(workspace.home, workspace.config.name, carried)
        return new, len(new)
    from mlops.adapters.ledger import Ledger

    ledger = Ledger(workspace.home, workspace.config.name)
    state = git.state(workspace.root)
    tags = Push(command="state import", commit=state.commit, dirty=state.dirty, branch=state.branch).tags()
    tags["mlops.executor"] = about.by
    run = ledger.begin("state import", tags)
    told = [_retold(workspace, ledger, entry, run, tags) for entry in new]
    ledger.end(run, Outcome.PASS)
    return told, len(told)


def _retold(workspace: Workspace, ledger: Ledger, entry: Entry, run: str, tags: Mapping[str, str]) -> Entry:
    record = entry.record
    if record.step != "register":
        ledger.record(record, run, tags)
        return entry
    place = layout.folder(workspace.releases, str(record.facts["release"]))
    contract = msgspec.json.decode((place / layout.PAYLOAD / layout.CONTRACT).read_bytes(), type=Contract)
    version, run_id = ledger.register(verify(place), contract, place / layout.PAYLOAD, run, tags)
    facts = {**record.facts, "version": version, "summary": f"{record.facts['release']}, version {version}"}
    return replace(entry, record=replace(record, facts=facts, run_id=run_id))


def _whole_releases(workspace: Workspace) -> list[Manifest]:
    found = []
    for name in chosen.releases(workspace.releases):
        try:
            found.append(verify(layout.folder(workspace.releases, name)))
        except NotWhole:
            continue  # `mlops run` makes it anew
    return found


def _release(workspace: Workspace, name: str, opened: Opened) -> bool:
    """Put a release in place out of the store; gives whether it was not there. What is there already stays."""
    manifest = msgspec.json.decode(opened.members[f"releases/{name}/{layout.MANIFEST}"].read_bytes(), type=Manifest)
    folder = layout.folder(workspace.releases, name)
    if manifest.release != name or not within(name) or not all(map(within, manifest.files)):
        raise OutsideError(f"the manifest of {name!r} names files outside it", next_step="export the file again")
    signature = opened.members.get(f"releases/{layout.signature_of(folder).name}")
    if signature is not None and not layout.signature_of(folder).exists():  # it proves itself where it is demanded
        files.write_atomically(layout.signature_of(folder), signature.read_bytes())
    if folder.exists():
        return False
    with files.appearing(folder) as temporary:
        for file, digest in manifest.files.items():
            target = temporary / file
            target.parent.mkdir(parents=True, exist_ok=True)
            files.copy_chunks(workspace.objects.path(digest), target)
        files.copy_chunks(opened.members[f"releases/{name}/{layout.MANIFEST}"], temporary / layout.MANIFEST)
    verify(folder)
    return True


def _environment(folder: Path, scratch: Path) -> dict[str, Path]:
    """The files of an environment that are true anywhere: pointers, histories, what is online; databases as copies."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        passing = path.name in _PASSING or path.suffix == ".log" or any(p.startswith(".") for p in name.parts)
        if not path.is_file() or passing or path.name.endswith(("-wal", "-shm")) or "decisions" in name.parts:
            continue
        if path.suffix == ".sqlite":
            scratch.mkdir(parents=True, exist_ok=True)
            ledger_file.snapshot(path, scratch / path.name)
        place = scratch / path.name if path.suffix == ".sqlite" else path
        found[f"environments/{folder.name}/{name.as_posix()}"] = place
    return found


def _take_environment(workspace: Workspace, name: str, opened: Opened) -> str:
    """Put an environment in place where there is none; gives why not."""
    folder = workspace.environments / name
    if name not in workspace.config.environments:
        return f"the environment {name!r} was left: it is not configured here"
    if folder.exists():
        return f"the environment {name!r} was left: there is one here, and its history is its own"
    with files.appearing(folder) as temporary:
        for member, path in opened.members.items():
            prefix = f"environments/{name}/"
            if member.startswith(prefix):
                target = temporary / member.removeprefix(prefix)
                target.parent.mkdir(parents=True, exist_ok=True)
                files.copy_chunks(path, target)
    return ""


def _parts(workspace: Workspace) -> list[tuple[str, str, str]]:
    file = parts_file(workspace.home)
    known: Iterable[tuple[str, str, str]] = Known(file).everything() if file.exists() else ()
    return [part for part in known if not part[2] or workspace.objects.has(part[2])]
