"""The release: the immutable unit that is deployed and rolled back whole, and its folder's layout."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mlops.declare import split_version

MANIFEST = "manifest.json"
BENTO = "bento"
PAYLOAD = "bento/src/release"  # contract.json, golden.json, model.onnx or model.skops
CONTRACT, GOLDEN = "contract.json", "golden.json"
_ID_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a release is made of; `files` covers every file of the folder but the manifest itself.

    `release` is `<model>-<12 hex digits of the content's digest>`. `features` maps each pinned view or
    on-demand feature to the digest of its code. `records` maps a step to its key, `evidence` a gate to
    its outcome. Nothing in here depends on time, machine or user, so the same work gives the same release; `commit`,
    `records`, `champion` and `packages` tell how it was made, and are no part of its name.
    """

    release: str
    model: str
    form: str  # "onnx" or "skops"
    task: str
    metric: str
    commit: str
    dirty: bool
    code: str
    environment: str
    snapshot: Mapping[str, str]
    features: Mapping[str, str]
    metrics: Mapping[str, float]
    params: Mapping[str, Any]
    evidence: Mapping[str, str]
    files: Mapping[str, str]
    records: Mapping[str, str] = field(default_factory=dict)
    training: str = ""  # the digest of the training table
    champion: str = ""  # the release that it was judged against
    beside: str = ""  # the release that it was put under load in turn with
    framework: str = ""
    python: str = ""  # the version that it was judged with, such as "3.12"
    packages: Mapping[str, str] = field(default_factory=dict)  # all that was installed where it was made

    @property
    def family(self) -> str:
        """The model's name without its version."""
        return split_version(self.model)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to an environment; what is live is computed from events."""

    at: str  # ISO 8601, UTC
    # "deploy", "rollback", "retire" (kept no more), "prune" (of its features), "drill" (of a rollback), "retrain"
    action: str
    environment: str
    family: str
    to: str
    previous: str
    who: str
    reason: str
    outcome: str  # "done" or "failed: …"; of a canary also "rolled back: …", "held: …", "ended: …"
    seconds: float
    recorded: bool = False  # whether the ledger has it
    evidence: tuple[str, ...] = ()  # what a canary was judged by, one sentence each


def content_digest(manifest: Mapping[str, Any]) -> str:
    """The digest of what a release is (its manifest as JSON has it), whoever made it from whatever commit.

    One that needed an override is another release than one that did not: its evidence differs for good. Keys that the
    manifest does not have, because it is older than they are, do not count.
    """
    evidence: Mapping[str, str] = manifest["evidence"]
    needed = {gate: "overridden" for gate, said in evidence.items() if said.startswith("overridden")}
    blank: dict[str, Any] = {"release": "", "commit": "", "dirty": False, "evidence": needed}
    blank |= {"records": {}, "champion": "", "beside": "", "packages": {}}
    bare = {name: blank.get(name, value) for name, value in manifest.items()}
    return hashlib.sha256(msgspec.json.encode(bare, order="sorted")).hexdigest()


def name_of(manifest: Mapping[str, Any]) -> str:
    """What a release of that manifest is called."""
    return f"{manifest['model']}-{content_digest(manifest)[:_ID_DIGITS]}"


def signature_of(folder: Path) -> Path:
    """Where the signature of the release in `folder` lies: beside it, as nothing may be added to a release."""
    return folder.with_name(f"{folder.name}.sig")


def folder(releases: Path, release: str) -> Path:
    """Where a release lies on this machine."""
    return releases / release
