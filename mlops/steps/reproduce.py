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
from mlops.errors import OutsideError
from mlops.release import BENTO, Manifest, folder
from mlops.serving.integrity import verify
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

    OutsideError where it cannot be made: no commit tells of its code, its data is gone, its packages cannot be had.
    """
    name = chosen.release(workspace, release)
    place = folder(workspace.releases, name)
    manifest = verify(place)
    _demand_data(workspace, manifest)
    with tempfile.TemporaryDirectory(prefix="mlops-reproduce-") as scratch:
        room = Path(scratch)
        tell(f"checking out {manifest.commit[:12]}")
        root = _checkout(workspace, manifest, room)
        data = _data(workspace, manifest, room)
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


def _demand_data(workspace: Workspace, manifest: Manifest) -> None:
    gone = [
        name
        for name, digest in manifest.snapshot.items()
        if not workspace.objects.has(digest) and _taken(manifest, name)
    ]
    if gone:
        raise OutsideError(
            f"the data of {manifest.release} is gone: {', '.join(f'{n} {manifest.snapshot[n][:12]}' for n in gone)}",
            next_step="bring the objects back from a copy of .mlops/store, or `mlops state import FILE`",
        )


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
    """The snapshots as files, by source."""
    found = {}
    (room / "data").mkdir()
    for name, digest in manifest.snapshot.items():
        if _taken(manifest, name):
            file = room / "data" / f"{name}.parquet"
            shutil.copyfile(workspace.objects.path(digest), file)
            found[name] = str(file)
    return found


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
