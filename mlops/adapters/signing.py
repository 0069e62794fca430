"""Signatures of folders by model-signing, in Sigstore's bundle format: by a key pair, or by an identity without a key.

The library is the extra `mlops[signing]`, and takes a second to import: only who signs or must verify needs it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.adapters.files import replacing
from mlops.errors import MlopsError, OutsideError, UsageError

if TYPE_CHECKING:
    from cryptography import x509

_INSTALL = "install it: `pip install 'mlops[signing]'`"


class NotSigned(MlopsError):
    """The signature is not there, not of whom it should be, or not of these files."""

    exit_code = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A private key: the PEM text, or the path of its file; the password if it is encrypted."""

    pem: str
    password: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a signature must be of: the identity in Sigstore's certificate, and who vouches for it.

    Where one workflow calls another that signs, it is the one that calls: see `signer_in`. `trust` is the file of a
    trust configuration; None: that of the public instance, which is fetched.
    """

    identity: str
    issuer: str
    trust: Path | None = None


def ambient_token() -> str:
    """The token by which this job can prove who it is, as CI systems hand it out; OutsideError where there is none."""
    with _library():
        from sigstore import oidc
    try:
        token = oidc.detect_credential()
    except oidc.IdentityError as error:
        raise _no_identity(" ".join(str(error).split())) from error
    if not token:
        raise _no_identity("this machine has none")
    return str(token)


def sign_by_key(folder: Path, signature: Path, key: Key) -> None:
    """Sign all files of a folder; the signature appears whole. UsageError for a key that is none."""
    with _library():
        from model_signing import signing
    with _key_file(key) as file:
        password: Any = key.password.encode() or None  # the library's type says text, and wants bytes
        try:
            signer = signing.Config().use_elliptic_key_signer(private_key=file, password=password)
        except (ValueError, TypeError, AttributeError, OSError) as error:
            raise UsageError(
                f"the private key cannot be used: {' '.join(str(error).split())[:200]}",
                next_step="it is an elliptic key (P-256, P-384 or P-521) in PEM form, with its password if it has one",
            ) from error
    with replacing(signature) as temporary:
        _config(signer).sign(folder, temporary)


def sign_by_identity(folder: Path, signature: Path, *, token: str, trust: Path | None = None) -> None:
    """Sign all files of a folder by Sigstore, as whom the token names; OutsideError where Sigstore does not do it."""
    with _library():
        from model_signing import signing
    try:
        signer = signing.Config().use_sigstore_signer(identity_token=token, trust_config=trust)
        with replacing(signature) as temporary:
            _config(signer).sign(folder, temporary)
    except MlopsError:
        raise
    except Exception as error:
        # Fulcio, Rekor, TUF and the network each raise their own.
        raise OutsideError(f"Sigstore did not sign: {_said(error)}", next_step="run again") from error


def verify_by_key(folder: Path, signature: Path, public_key: Path) -> None:
    """NotSigned unless the holder of the public key's other half has signed exactly these files."""
    with _library():
        from model_signing import verifying
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise UsageError(
            f"the public key {public_key} cannot be used: {_said(error)}",
            next_step="it is the other half of the private one, in PEM form: `openssl ec -in release.key -pubout`",
        ) from error
    _verify(verifier, folder, signature)


def verify_by_identity(folder: Path, signature: Path, who: Identity) -> None:
    """NotSigned unless that identity has signed exactly these files; OutsideError without Sigstore's root of trust."""
    with _library():
        from model_signing import verifying
    with tempfile.TemporaryDirectory(prefix="mlops-signature-") as scratch:
        kept = Path(scratch) / signature.name  # what is asked for its signer is what is verified
        if signature.is_file():
            shutil.copyfile(signature, kept)
        try:
            verifier = verifying.Config().use_sigstore_verifier(
                identity=_signer_of(kept, who.identity), oidc_issuer=who.issuer, trust_config=who.trust
            )
        except Exception as error:
            # TUF and the network each raise their own.
            raise OutsideError(
                f"Sigstore's root of trust is not at hand: {_said(error)}",
                next_step="let this machine reach it, or keep a trust configuration beside the project: trust = FILE",
            ) from error
        _verify(verifier, folder, kept)


def signer_in(certificate: x509.Certificate, identity: str) -> str:
    """The name that a certificate must bear to be of `identity`: itself, or that of the workflow which it called.

    GitHub names a job by the file that holds it. A reusable workflow is called by anybody, so its own name proves
    nothing; who was started and called it stands beside, as the certificate's Build Config URI (Fulcio's
    docs/oid-info.md, 1.3.6.1.4.1.57264.1.18). ValueError where the certificate has no such name.
    """
    from cryptography import x509
    from sigstore.errors import VerificationError
    from sigstore.verify import policy

    try:
        policy.OIDCBuildConfigURI(identity).verify(certificate)
    except VerificationError:
        return identity
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (name,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    return str(name)


def _signer_of(signature: Path, identity: str) -> str:
    """The same of a signature; one that cannot be read is verified as `identity`'s, and found to be none."""
    from cryptography.x509 import ExtensionNotFound
    from sigstore.errors import Error
    from sigstore.models import Bundle

    try:
        return signer_in(Bundle.from_json(signature.read_bytes()).signing_certificate, identity)
    except (Error, ExtensionNotFound, AttributeError, OSError, RecursionError, TypeError, ValueError):
        return identity


def _verify(verifier: Any, folder: Path, signature: Path) -> None:
    if not signature.is_file():
        raise NotSigned("it is not signed", next_step="sign it: `mlops sign RELEASE`")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the library prints warnings
            _config(verifier).verify(folder, signature)
    except Exception as error:
        # A signature is somebody's file: whatever reading it raises, it does not prove anything.
        raise NotSigned(_said(error), next_step="sign it anew where it was made, or find out who changed it") from error


def _config(either: Any) -> Any:
    """With our own way of hashing: what a signature says of it is not asked."""
    from model_signing import hashing

    return either.set_hashing_config(hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False))


@contextlib.contextmanager
def _key_file(key: Key) -> Iterator[Path]:
    """The key as a file, which nobody else can read and which is gone afterwards."""
    if "-----BEGIN" not in key.pem:
        yield Path(key.pem)
        return
    with tempfile.TemporaryDirectory(prefix="mlops-key-") as folder:
        file = Path(folder) / "key.pem"
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(key.pem)
        yield file


@contextlib.contextmanager
def _library() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UsageError(f"signatures need a library that is not here: {error}", next_step=_INSTALL) from error


def _no_identity(why: str) -> OutsideError:
    return OutsideError(
        f"nobody vouches for this job, so it cannot sign without a key: {why}",
        next_step="in GitHub give the job `permissions: id-token: write`; elsewhere sign with a key: "
        '[tool.mlops.signing] method = "key"',
    )


def _said(error: Exception) -> str:
    return " ".join(f"{error or type(error).__name__}".split())[:300]
