"""Who signs releases and who must have signed them, as `[tool.mlops.signing]` says.

A signature lies beside the release's folder: so it can be added later, and nothing may be added to a release.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from mlops.adapters import signing
from mlops.adapters.signing import Identity, Key, NotSigned
from mlops.config import Signing
from mlops.errors import ConfigError, DeploymentFailed, MlopsError, UsageError
from mlops.release import signature_of

Demand = Callable[[Path], None]
"""Called with a release's folder; raises DeploymentFailed unless it is signed as it must be."""


def sign(root: Path, settings: Signing, folder: Path) -> str:
    """Sign a release; gives by what. UsageError where nothing is configured, OutsideError without an identity."""
    signature = signature_of(folder)
    if settings.method == "key":
        signing.sign_by_key(folder, signature, _key(settings))
        return f"the key in {settings.key_env}"
    if settings.method == "keyless":
        signing.sign_by_identity(folder, signature, token=signing.ambient_token(), trust=_trust(root, settings))
        return "this job's identity"
    raise UsageError(
        "it is not said how releases are signed", next_step='[tool.mlops.signing] method = "key" or "keyless"'
    )


def sign_if_possible(root: Path, settings: Signing, folder: Path) -> str:
    """Sign a release where that is configured and can be done here; gives by what, or why not.

    Laptops have no key, and a pull request's job no identity: that is no fault. Where signatures are demanded, a
    release without one is refused.
    """
    if settings.method == "none":
        return ""
    try:
        if signature_of(folder).is_file():
            _verify(root, settings, folder)
            return "signed already"
    except MlopsError:
        pass  # it is signed anew
    try:
        return f"signed by {sign(root, settings, folder)}"
    except MlopsError as error:
        return f"not signed: {error.message}"


def demand(root: Path, settings: Signing) -> Demand:
    """What refuses a release that is not signed as `settings` say."""

    def check(folder: Path) -> None:
        try:
            _verify(root, settings, folder)
        except NotSigned as error:
            raise DeploymentFailed(
                f"the release {folder.name} is refused: {error.message}",
                next_step=error.next_step.replace("RELEASE", folder.name),
            ) from error
        except (ConfigError, UsageError) as error:
            raise DeploymentFailed(
                f"the signature of {folder.name} cannot be verified: {error.message}", next_step=error.next_step
            ) from error

    return check


def _verify(root: Path, settings: Signing, folder: Path) -> None:
    signature = signature_of(folder)
    if settings.method == "key":
        signing.verify_by_key(folder, signature, root / settings.public_key)
    else:
        who = Identity(identity=settings.identity, issuer=settings.issuer, trust=_trust(root, settings))
        signing.verify_by_identity(folder, signature, who)


def _key(settings: Signing) -> Key:
    pem = os.environ.get(settings.key_env, "")
    if not pem:
        raise UsageError(
            f"there is no private key: the variable {settings.key_env} is not set",
            next_step=f"set {settings.key_env} to the key in PEM form, or to the path of its file",
        )
    return Key(pem=pem, password=os.environ.get(settings.password_env, ""))


def _trust(root: Path, settings: Signing) -> Path | None:
    return root / settings.trust if settings.trust else None
