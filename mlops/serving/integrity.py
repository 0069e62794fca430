"""Whether a release's folder is byte for byte what was accepted: nothing changed, added, removed or renamed."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mlops.adapters.files import tree
from mlops.errors import DeploymentFailed, OutsideError
from mlops.release import MANIFEST, Manifest, name_of

_NEXT = "restore the folder from a copy, or make the release again: `mlops run`"


class NotWhole(DeploymentFailed):
    """The release's folder is not what its manifest says; it must not serve."""


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the release in `folder`; NotWhole when it is missing or cannot be read."""
    file = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise NotWhole(f"there is no release in {folder}: {MANIFEST} is missing", next_step=_NEXT) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotWhole(f"{file} cannot be read: {error}", next_step=_NEXT) from None
    if manifest.release != folder.name:
        raise NotWhole(f"{folder} holds the release {manifest.release!r}: the folder was renamed", next_step=_NEXT)
    return manifest


def verify(folder: Path) -> Manifest:
    """The manifest of a whole release; NotWhole naming the files that were changed, added or removed.

    The name is made of what the manifest says, so a changed manifest is told too; but for who made it from which commit
    and by which evidence, which only a signature covers.
    """
    manifest = read_manifest(folder)
    wanted = name_of(msgspec.json.decode((folder / MANIFEST).read_bytes()))
    if manifest.release != wanted:
        raise NotWhole(
            f"the release {manifest.release} is not whole: {MANIFEST} was changed, its content is that of {wanted}",
            next_step=_NEXT,
        )
    try:
        found = tree(folder)
    except OutsideError as error:
        raise NotWhole(f"the release {manifest.release} is not whole: {error.message}", next_step=_NEXT) from None
    found.pop(MANIFEST, None)
    wrong = _differences(manifest, found)
    if wrong:
        shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise NotWhole(f"the release {manifest.release} is not whole: {shown}", next_step=_NEXT)
    return manifest


def _differences(manifest: Manifest, found: dict[str, str]) -> list[str]:
    expected = manifest.files
    return [
        *(f"{name} was changed" for name in sorted(expected.keys() & found.keys()) if expected[name] != found[name]),
        *(f"{name} was removed" for name in sorted(expected.keys() - found.keys())),
        *(f"{name} was added" for name in sorted(found.keys() - expected.keys())),
    ]
