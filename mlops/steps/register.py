"""`register`: the release's manifest, its folder, and its version in the ledger."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mlops import __version__, signatures
from mlops import release as layout
from mlops.adapters import files
from mlops.contract import Contract
from mlops.declare import Model
from mlops.errors import GateFailed
from mlops.keys import environment_lock, installed
from mlops.release import Manifest
from mlops.serving.integrity import NotWhole, read_manifest, verify
from mlops.verdict import Record
from mlops.workspace import Workspace

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The records of all steps that lead to a release, and the code it was made of."""

    snapshots: Sequence[Record]
    assembled: Record
    trained: Record
    checked: Record
    packaged: Record
    gates: Sequence[Record]
    code: str
    features: Mapping[str, str]
    commit: str
    dirty: bool


def register(
    workspace: Workspace,
    *,
    model: Model,
    work: Work,
    record_release: Callable[[Manifest, Contract, Path], tuple[str, str]],
) -> Record:
    """Put the release in place, whole or not at all, and record it; raises GateFailed without every verdict."""
    _demand_verdicts(work)
    contract = msgspec.json.decode(workspace.objects.get(work.assembled.outputs["contract"]), type=Contract)
    manifest = _placed(workspace, _manifest(model, contract, work), work)
    folder = layout.folder(workspace.releases, manifest.release)
    signed = signatures.sign_if_possible(workspace.root, workspace.config.signing, folder)
    version, run_id = record_release(manifest, contract, folder / layout.PAYLOAD)
    summary = "; ".join([f"{manifest.release}, version {version}", *([signed] if signed else [])])
    return Record(
        step="register",
        subject=model.name,
        facts={"release": manifest.release, "version": version, "signed": signed, "summary": summary},
        metrics=dict(manifest.metrics),
        run_id=run_id,
    )


def is_whole(folder: Path) -> bool:
    """Whether the release in `folder` is there, byte for byte."""
    try:
        verify(folder)
    except NotWhole:
        return False
    return True


def evidence(record: Record) -> str:
    """A gate's outcome as a release keeps it; with every override that it took: by whom, until when, why."""
    if record.verdict is None:
        return ""
    let_pass = [
        f"{f.check} by {f.override.who} until {f.override.until}: {f.override.reason}"
        for f in record.verdict.overridden
        if f.override
    ]
    return "; ".join([record.verdict.outcome.value, *let_pass])


def _demand_verdicts(work: Work) -> None:
    for record in work.gates:
        if record.verdict is None or not record.verdict.accepted:
            found = "no verdict" if record.verdict is None else record.verdict.outcome.value
            raise GateFailed(
                f"{record.name} gave {found}; a release needs every gate's yes",
                next_step=f"run `mlops {record.step}` and read its findings",
            )


def _manifest(model: Model, contract: Contract, work: Work) -> Manifest:
    return Manifest(
        release="",
        model=model.name,
        form=str(work.packaged.facts["form"]),
        task=contract.task,
        metric=contract.metric,
        commit=work.commit,
        dirty=work.dirty,
        code=work.code,
        environment=files.digest_bytes(msgspec.json.encode(environment_lock(), order="sorted")),
        snapshot={
            **{record.subject: record.outputs["data"] for record in work.snapshots},
            **dict(work.assembled.facts.get("review", {})),  # labels that people corrected are data too
        },
        features=dict(work.features),
        metrics=dict(work.checked.metrics),
        params=dict(work.trained.params),
        evidence={record.name: evidence(record) for record in work.gates},
        files={},
        records={
            r.name: r.key for r in (*work.snapshots, work.assembled, work.trained, work.packaged, *work.gates) if r.key
        },
        framework=__version__,
        python=environment_lock()["python"],
        training=work.assembled.outputs["train"],
        champion=str(work.checked.facts.get("champion", "")),
        packages=installed(),
        beside=next((str(r.facts.get("champion", "")) for r in work.gates if r.step == "check-service"), ""),
    )


def _placed(workspace: Workspace, manifest: Manifest, work: Work) -> Manifest:
    """Write the folder under the name that its content has; an equal one that is there already stays."""
    digest = work.packaged.outputs["bento"]
    listing: dict[str, str] = workspace.objects.get_json(digest)
    within = {f"{layout.BENTO}/{name}": content for name, content in listing.items()}
    manifest = dataclasses.replace(manifest, files=within)
    manifest = dataclasses.replace(manifest, release=layout.name_of(msgspec.to_builtins(manifest)))
    folder = layout.folder(workspace.releases, manifest.release)
    if is_whole(folder):
        return _saved_since(folder, read_manifest(folder), work)
    shutil.rmtree(folder, ignore_errors=True)  # what is damaged serves nobody: a release is verified before it is read
    with files.appearing(folder) as temporary:
        workspace.objects.get_tree(digest, temporary / layout.BENTO)
        (temporary / layout.MANIFEST).write_bytes(_written(manifest))
    return manifest


def _saved_since(folder: Path, manifest: Manifest, work: Work) -> Manifest:
    """The manifest there; named by the commit, once what it was made of without one has one."""
    if not manifest.dirty or work.dirty:
        return manifest
    saved = dataclasses.replace(manifest, commit=work.commit, dirty=False)
    files.write_atomically(folder / layout.MANIFEST, _written(saved))
    return saved


def _written(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"))
