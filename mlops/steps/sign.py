"""`sign`: a release with a signature beside it, of all its files."""

from __future__ import annotations

from mlops import signatures
from mlops.release import folder, signature_of
from mlops.serving.integrity import verify
from mlops.targets import chosen
from mlops.verdict import Record
from mlops.workspace import Workspace

VERSION = 1


def sign(workspace: Workspace, *, release: str) -> Record:
    """The record of a signed release; facts say by what, and where the signature lies.

    DeploymentFailed for one that is not whole, UsageError or OutsideError where it cannot be signed here.
    """
    name = chosen.release(workspace, release)
    place = folder(workspace.releases, name)
    verify(place)
    by = signatures.sign(workspace.root, workspace.config.signing, place)
    signature = signature_of(place).relative_to(workspace.root)
    return Record(step="sign", subject=name, facts={"release": name, "by": by, "signature": str(signature)})
