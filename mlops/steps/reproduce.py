"""`reproduce`: a release made again from what is recorded of it, and compared with it digest by digest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlops.adapters import environments, git
from mlops.adapters.bundle import within
from mlops.errors import OutsideError
from mlops.recording import executor
from mlops.release import BENTO, MANIFEST, Manifest, folder
from mlops.reuse import team
from mlops.serving.integrity import NotWhole, read_manifest, verify
from mlops.targets import chosen
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1
_FRAMEWORK = f"{BENTO}/src/mlops"
_PAYLOAD = f"{BENTO}/src/release/"
_OURS = "mlops"  # is not installed: the release brings its own
_SHOWN = 8
_SECONDS = 3600

State = Literal["same", "differs", "not recorded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An ingredient or a result: whether it is the same again, and if not, how it differs."""

    name: str
    state: State
    detail: str = ""


def reproduce(
    workspace: Workspace, *, release: str, here: bool = False, tell: Callable[[str], None] = lambda _: None
) -> Record:
    """Facts: `identical`, and `parts`, causes before effects, so that the first that differs is the cause.

    With `here` it is this environment that makes it, not one made of the recorded packages.

    A release that is not on this machine is brought from the team's store, with its data, into a temporary folder.

    OutsideError where it cannot be made: no commit tells of its code, its data is gone, its packages cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="mlops-reproduce-") as scratch:
        room = Path(scratch)
        place = _found(workspace, release, room, tell)
        manifest = verify(place)
        name = manifest.release
        data = _data(workspace, manifest, room)
        tell(f"checking out {manifest.commit[:12]}")
        root = _checkout(workspace, manifest, room)
        interpreter = Path(sys.executable)
        if not here:
            tell(f"making an environment of {len(manifest.packages)} packages")
            interpreter = _environment(manifest, room)
        framework = _framework(place, room)
        tell(f"making {manifest.model} again")
        made = _rebuilt(interpreter, framework, [str(root), manifest.model, json.dumps(data)], room)
    parts = tuple(_compared(manifest, made))
    identical = all(part.state != "differs" for part in parts) and not made["errors"]
    facts = {"release": name, "identical": identical, "parts": [asdict(p) for p in parts], "errors": made["errors"]}
    return Record(step="reproduce", subject=name, facts=facts)


def _found(workspace: Workspace, release: str, room: Path, tell: Callable[[str], None]) -> Path:
    """The folder of a release: this machine's, or one in the room, brought from the team's store."""
    here = chosen.releases(workspace.releases)
    store = None if any(one.startswith(release) for one in here) else team(workspace, executor())
    name = chosen.one_of(here if store is None else (*here, *store.releases()), release)
    if store is None:
        return folder(workspace.releases, name)
    tell(f"bringing {name} from {store.place.url}")
    place = room / "brought" / name
    place.mkdir(parents=True)
    (place / MANIFEST).write_bytes(store.manifest(name) or b"")
    manifest = read_manifest(place)
    outside = [one for one in (*manifest.files, *manifest.snapshot) if not within(one)]
    if outside:
        raise NotWhole(f"{name} names a file that leads out of its folder: {outside[0]}", next_step="ask who made it")
    gone = store.copy({place / file: digest for file, digest in manifest.files.items()})
    if gone:
        raise OutsideError(
            f"{len(gone)} files of {name} are gone from {store.place.url}",
            next_step="`mlops run` from its commit puts them back",
        )
    return place


def _taken(manifest: Manifest, name: str) -> bool:
    """Whether it is a source's snapshot; corrected labels are a file of the repository."""
    return f"snapshot:{name}" in manifest.records


def _checkout(workspace: Workspace, manifest: Manifest, room: Path) -> Path:
    if manifest.dirty:
        raise OutsideError(
            f"{manifest.release} was made of unsaved changes: no commit tells of its code",
            next_step="commit them and `mlops run`: what is made of the same code again is named by the commit",
        )
    root = git.checkout(workspace.root, manifest.commit, room / "checkout")
    if root is None:
        raise OutsideError(
            f"git does not know the commit {manifest.commit[:12]} of {manifest.release} here",
            next_step="git fetch --unshallow, or fetch the branch that it was made on",
        )
    return root


def _data(workspace: Workspace, manifest: Manifest, room: Path) -> dict[str, str]:
    """The snapshots as files, by source, of this machine's store or the team's; OutsideError where one is gone."""
    snapshots = {name: digest for name, digest in manifest.snapshot.items() if _taken(manifest, name)}
    found = {name: room / "data" / f"{name}.parquet" for name in snapshots}
    (room / "data").mkdir()
    lacking = {found[name]: digest for name, digest in snapshots.items() if not workspace.objects.has(digest)}
    for name, digest in snapshots.items():
        if found[name] not in lacking:
            shutil.copyfile(workspace.objects.path(digest), found[name])
    store = team(workspace, executor()) if lacking else None
    gone = set(lacking.values()) if store is None else store.copy(lacking)
    if gone:
        told = ", ".join(f"{name} {digest[:12]}" for name, digest in snapshots.items() if digest in gone)
        raise OutsideError(
            f"the data of {manifest.release} is gone: {told}",
            next_step="bring the objects back from a copy of .mlops/store, or `mlops state import FILE`",
        )
    return {name: str(path) for name, path in found.items()}


def _environment(manifest: Manifest, room: Path) -> Path:
    packages = {name: version for name, version in manifest.packages.items() if name not in ("python", _OURS)}
    if not packages:
        raise OutsideError(
            f"{manifest.release} does not tell which packages it was made with",
            next_step="compare in this environment: --here",
        )
    return environments.make(room / "environment", packages, manifest.packages["python"])


def _framework(place: Path, room: Path) -> Path:
    """The very framework that the release was made by: it travels in its bento."""
    target = room / "framework"
    shutil.copytree(place / _FRAMEWORK, target / "mlops")
    if not (target / "mlops" / "rebuilding.py").is_file():
        raise OutsideError(
            "the release was made by a version of mlops that cannot make one again",
            next_step="compare its code and data instead: `mlops lineage RELEASE`, `mlops compare A B`",
        )
    return target


def _rebuilt(interpreter: Path, framework: Path, arguments: list[str], room: Path) -> dict[str, Any]:
    answer = room / "answer.json"
    own = ("MLFLOW_", "MLOPS_", "PYTHONPATH", "GITHUB_")  # it is recorded nowhere, and is nobody's run
    variables = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    command = [str(interpreter), "-m", "mlops.rebuilding", *arguments, str(answer)]
    done = subprocess.run(
        command,
        cwd=room,
        env={**variables, "PYTHONPATH": str(framework)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if not answer.is_file():
        said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise OutsideError(
            f"it could not be made again: {said[0]}", next_step="run it by hand from its commit: `mlops run`"
        )
    made: dict[str, Any] = {"errors": [], **json.loads(answer.read_bytes())}
    return made


def _compared(manifest: Manifest, made: Mapping[str, Any]) -> Iterator[Part]:
    """Causes before their effects: data, packages, code, the table, the fit, the files."""
    snapshots = {name: digest for name, digest in manifest.snapshot.items() if _taken(manifest, name)}
    yield _part("data", snapshots, made.get("snapshot", {}))
    if manifest.packages:
        both = [{n: v for n, v in one.items() if n != _OURS} for one in (manifest.packages, made.get("packages", {}))]
        yield _part("packages", *both, values=True)
    else:
        yield Part(name="packages", state="not recorded", detail="the release was made by an earlier version of mlops")
    yield _part("code of the model", {manifest.model: manifest.code}, {manifest.model: made.get("code", "")})
    yield _part("code of the features", manifest.features, made.get("features", {}))
    yield _part("training table", {"": manifest.training}, {"": made.get("training", "")})
    yield _part("parameters", manifest.params, made.get("params", {}), values=True)
    yield _part("metrics", manifest.metrics, made.get("metrics", {}), values=True)
    mine, theirs = (
        {n.removeprefix(_PAYLOAD): d for n, d in files.items() if n.startswith(_PAYLOAD)}
        for files in (manifest.files, made.get("files", {}))
    )
    yield _part("model and answers", mine, theirs)
    rest = [{n: d for n, d in f.items() if not n.startswith(_PAYLOAD)} for f in (manifest.files, made.get("files", {}))]
    yield _part("the rest of the bento", rest[0], rest[1])


def _part(name: str, before: Mapping[str, Any], after: Mapping[str, Any], *, values: bool = False) -> Part:
    wrong = [
        _said(key, before.get(key), after.get(key), values=values)
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
    if not wrong:
        return Part(name=name, state="same")
    more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return Part(name=name, state="differs", detail="; ".join(wrong[:_SHOWN]) + more)


def _said(key: str, before: Any, after: Any, *, values: bool) -> str:
    if before is None or after is None:
        return f"{key} is {'new' if before is None else 'missing'}"
    shown = (before, after) if values else (str(before)[:12], str(after)[:12] or "nothing")
    return f"{key} {shown[0]} is {shown[1]} now".strip()
