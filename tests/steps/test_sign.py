"""Signatures: who signed a release is asked before anything moves, and what is not as it was signed never goes live."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from mlops.adapters.files import tree
from mlops.adapters.signing import Key, sign_by_key, signer_in
from mlops.config import Signing
from mlops.errors import ConfigError, DeploymentFailed, OutsideError, RollbackFailed, UsageError
from mlops.release import MANIFEST, PAYLOAD, signature_of
from mlops.serving.integrity import verify
from mlops.serving.pointer import read_pointer
from mlops.serving.runtime import load_release
from mlops.signatures import sign_if_possible
from mlops.steps.deploy import deploy, preview
from mlops.steps.predict import Wanted, predict
from mlops.steps.rollback import rollback
from mlops.steps.sign import sign
from mlops.steps.state import export, take
from mlops.workspace import Workspace, open_workspace
from tests import small
from tests.key_pairs import pair
from tests.serving.releases import contract, make_project, make_release, seal

BY_KEY = """
[tool.mlops.environments.guarded]
port = 3009
require_signature = true
[tool.mlops.signing]
method = "key"
public_key = "release.pub"
"""
BY_IDENTITY = """
[tool.mlops.environments.guarded]
port = 3009
require_signature = true
[tool.mlops.signing]
method = "keyless"
identity = "https://github.com/shop/models/.github/workflows/main.yml@refs/heads/main"
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """Two releases without stored features."""
    releases = tmp_path_factory.mktemp("signed") / "releases"
    releases.mkdir()
    plain = {"computed": False, "stored": False}
    make_release(releases, contract("fraud_v1", **plain))
    make_release(releases, contract("fraud_v2", **plain), factor=3.0)
    return releases


def made(root: Path, two: Path, settings: str) -> Workspace:
    workspace = make_project(root, settings=settings)
    shutil.copytree(two, workspace.releases, dirs_exist_ok=True)
    return workspace


@pytest.fixture
def project(two, tmp_path, monkeypatch) -> Workspace:
    private, public = pair()
    monkeypatch.setenv("MLOPS_SIGNING_KEY", private)
    workspace = made(tmp_path / "project", two, BY_KEY)
    (workspace.root / "release.pub").write_bytes(public)
    return workspace


def names(workspace: Workspace) -> tuple[str, str]:
    first, second = sorted(path.name for path in workspace.releases.iterdir() if path.is_dir())
    return first, second


def refused(workspace: Workspace, release: str, says: str) -> DeploymentFailed:
    """The deployment was refused, with exit code 5, and nothing moved."""
    before = read_pointer(workspace.environments / "guarded" / "fraud")
    with pytest.raises(DeploymentFailed, match=says) as caught:
        deploy(workspace, environment="guarded", release=release)
    assert caught.value.exit_code == 5
    assert read_pointer(workspace.environments / "guarded" / "fraud") == before
    return caught.value


def test_what_is_signed_goes_live_and_what_is_not_is_refused(project):
    first, second = names(project)
    record = sign(project, release=first)
    assert record.facts["signature"] == f".mlops/releases/{first}.sig"
    assert deploy(project, environment="guarded", release=first).facts["changed"]
    error = refused(project, second, f"{second} is refused: it is not signed")
    assert f"mlops sign {second}" in error.next_step
    deploy(project, environment="staging", release=second)


def test_a_rollback_to_what_is_not_signed_moves_nothing(project):
    first, second = names(project)
    for name in (first, second):
        sign(project, release=name)
        deploy(project, environment="guarded", release=name)
    signature_of(project.releases / first).unlink()
    with pytest.raises(RollbackFailed, match=r"nothing was rolled back.*it is not signed"):
        rollback(project, environment="guarded")
    assert read_pointer(project.environments / "guarded" / "fraud").live == second


def test_a_preview_a_canary_and_a_prediction_ask_for_the_signature_too(project, tmp_path):
    first, _ = names(project)
    file = tmp_path / "rows.csv"
    file.write_text("amount\n1.5\n")
    with pytest.raises(DeploymentFailed, match="not signed"):
        preview(project, environment="guarded", release=first)
    wanted = Wanted(file=file, out=tmp_path / "out.csv", environment="guarded", release=first)
    with pytest.raises(DeploymentFailed, match="not signed"):
        predict(project, wanted=wanted)
    sign(project, release=first)
    assert "would be live" in preview(project, environment="guarded", release=first)
    assert predict(project, wanted=wanted).facts["predicted"] == 1


def test_another_key_s_signature_is_refused(project, monkeypatch):
    first, _ = names(project)
    monkeypatch.setenv("MLOPS_SIGNING_KEY", pair()[0])
    sign(project, release=first)
    refused(project, first, "Key mismatch")


def test_another_release_s_signature_is_refused(project):
    first, second = names(project)
    sign(project, release=first)
    shutil.copyfile(signature_of(project.releases / first), signature_of(project.releases / second))
    refused(project, second, "Signature mismatch|mismatch for")


def test_a_release_that_was_sealed_anew_is_whole_but_not_as_it_was_signed(project):
    """Promise 10: who can write the manifest too, and rename the folder, is stopped by the signature."""
    first, _ = names(project)
    sign(project, release=first)
    staging = project.releases / ".staging"
    shutil.copytree(project.releases / first, staging)
    (staging / MANIFEST).unlink()
    golden = staging / PAYLOAD / "golden.json"
    golden.write_bytes(golden.read_bytes() + b"\n")
    forged = seal(project.releases, staging, "fraud_v1")
    shutil.copyfile(signature_of(project.releases / first), signature_of(project.releases / forged))
    assert verify(project.releases / forged).release == forged
    refused(project, forged, r"golden.json|Hash mismatch|mismatch for")


def test_no_flipped_byte_of_a_signed_manifest_goes_live(project):
    """Promise 10: also where it says from which commit a release was made, which its name does not hold."""
    first, _ = names(project)
    sign(project, release=first)
    file = project.releases / first / MANIFEST
    content = file.read_bytes()
    commit = content.index(b'"commit":"') + len(b'"commit":"')
    for place in (0, commit, *range(7, len(content), len(content) // 20), len(content) - 1):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        refused(project, first, r"not whole|is refused|there is no release|cannot be read|holds the release")
    file.write_bytes(content)
    assert deploy(project, environment="guarded", release=first).facts["changed"]


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_one_flipped_byte_of_the_signature_is_refused(project, place):
    first, _ = names(project)
    sign(project, release=first)
    signature = signature_of(project.releases / first)
    content = bytearray(signature.read_bytes())
    content[int(len(content) * place)] ^= 1
    signature.write_bytes(bytes(content))
    refused(project, first, "is refused")


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"\xff\xfe", b'{"mediaType": 7}', b"[" * 2000])
def test_a_file_that_is_no_signature_is_refused(project, content):
    first, _ = names(project)
    signature_of(project.releases / first).write_bytes(content)
    refused(project, first, "is refused")


def test_a_signature_does_not_change_the_release(project):
    """Promise 10: it lies beside the folder, and one in the folder is a file that was added."""
    first, _ = names(project)
    before = tree(project.releases / first)
    sign(project, release=first)
    assert tree(project.releases / first) == before
    load_release(project.releases, first, None).close()
    shutil.copyfile(signature_of(project.releases / first), project.releases / first / "release.sig")
    refused(project, first, "release.sig was added")


# -- keys ---------------------------------------------------------------------------------------------------------


def test_a_key_may_be_a_file_and_have_a_password(project, tmp_path, monkeypatch):
    private, public = pair(b"open sesame")
    (project.root / "release.pub").write_bytes(public)
    (tmp_path / "release.key").write_text(private)
    monkeypatch.setenv("MLOPS_SIGNING_KEY", str(tmp_path / "release.key"))
    first, _ = names(project)
    with pytest.raises(UsageError, match="private key cannot be used"):
        sign(project, release=first)
    monkeypatch.setenv("MLOPS_SIGNING_PASSWORD", "open sesame")
    sign(project, release=first)
    assert deploy(project, environment="guarded", release=first).facts["changed"]


def test_what_is_missing_is_named(project, monkeypatch):
    first, _ = names(project)
    sign(project, release=first)
    (project.root / "release.pub").unlink()
    refused(project, first, "release.pub cannot be used")
    monkeypatch.delenv("MLOPS_SIGNING_KEY")
    with pytest.raises(UsageError, match="MLOPS_SIGNING_KEY is not set"):
        sign(project, release=first)
    monkeypatch.setenv("MLOPS_SIGNING_KEY", "-----BEGIN NONSENSE-----")
    with pytest.raises(UsageError, match="private key cannot be used"):
        sign(project, release=first)


def test_a_release_that_is_not_whole_is_not_signed(project):
    first, _ = names(project)
    (project.releases / first / "more.txt").touch()
    with pytest.raises(DeploymentFailed, match=r"more.txt was added"):
        sign(project, release=first)
    assert not signature_of(project.releases / first).exists()


@pytest.mark.parametrize(
    "settings", ["", '[tool.mlops.signing]\nmethod = "key"', '[tool.mlops.signing]\nmethod = "keyless"']
)
def test_an_environment_that_demands_signatures_must_know_whose(tmp_path, settings):
    make_project(tmp_path)
    with (tmp_path / "pyproject.toml").open("a") as file:
        file.write(f"[tool.mlops.environments.guarded]\nrequire_signature = true\n{settings}\n")
    with pytest.raises(ConfigError, match=r"pyproject.toml:\d+: 'guarded' demands signatures"):
        open_workspace(tmp_path)


def test_a_run_signs_what_it_registers_and_signatures_travel(shop, tmp_path, monkeypatch):
    private, public = pair()
    (old,) = {path.name for path in (shop / ".mlops/releases").iterdir()}
    (shop / "release.pub").write_bytes(public)
    with (shop / "pyproject.toml").open("a") as file:
        file.write(BY_KEY)
    ended = small.mlops(shop, "deploy", "guarded", old)
    assert ended.returncode == 5
    assert f"{old} is refused: it is not signed" in ended.stderr
    ended = small.mlops(shop, "sign", old, "--json", MLOPS_SIGNING_KEY=private)
    assert [one["by"] for one in json.loads(ended.stdout)] == ["the key in MLOPS_SIGNING_KEY"]
    monkeypatch.setenv("MLOPS_SIGNING_KEY", private)
    small.edit(shop / "models/churn.py", "fitted(X, y, 1.0)", "fitted(X, y, 0.9)")
    ran = small.go(shop, environment="guarded")
    made = ran.record("register:churn_v1").facts
    assert made["signed"] == "signed by the key in MLOPS_SIGNING_KEY"
    assert open_workspace(shop).environments.joinpath("guarded/churn/pointer.json").exists(), str(ran)
    export(open_workspace(shop), tmp_path / "state.tar")
    other = Path(shutil.copytree(shop, tmp_path / "other", ignore=shutil.ignore_patterns(".mlops")))
    take(open_workspace(other), tmp_path / "state.tar")
    for release in (old, made["release"]):
        assert deploy(open_workspace(other), environment="guarded", release=release).facts["changed"]


def test_what_is_signed_already_is_not_signed_again(project, monkeypatch):
    first, _ = names(project)
    settings, folder = project.config.signing, project.releases / first
    assert sign_if_possible(project.root, Signing(), folder) == ""
    key = os.environ.pop("MLOPS_SIGNING_KEY")
    assert sign_if_possible(project.root, settings, folder).startswith("not signed: there is no private key")
    monkeypatch.setenv("MLOPS_SIGNING_KEY", key)
    assert sign_if_possible(project.root, settings, folder) == "signed by the key in MLOPS_SIGNING_KEY"
    before = signature_of(folder).read_bytes()
    assert sign_if_possible(project.root, settings, folder) == "signed already"
    signature_of(folder).write_bytes(b"{}")
    assert sign_if_possible(project.root, settings, folder).startswith("signed by")
    assert signature_of(folder).read_bytes() != before


# -- without a key ------------------------------------------------------------------------------------------------


@pytest.fixture
def keyless(two, tmp_path, monkeypatch) -> Workspace:
    for name in ("GITHUB_ACTIONS", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    return made(tmp_path / "project", two, BY_IDENTITY)


def test_where_nobody_vouches_for_the_job_it_says_so_and_asks_nobody(keyless):
    first, _ = names(keyless)
    with pytest.raises(OutsideError, match=r"nobody vouches for this job.*this machine has none") as caught:
        sign(keyless, release=first)
    assert "id-token: write" in caught.value.next_step
    assert not signature_of(keyless.releases / first).exists()


def test_a_job_of_github_without_the_permission_is_told_which(keyless, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    first, _ = names(keyless)
    with pytest.raises(OutsideError, match="ACTIONS_ID_TOKEN_REQUEST_TOKEN") as caught:
        sign(keyless, release=first)
    assert "permissions: id-token: write" in caught.value.next_step
    assert sign_if_possible(keyless.root, keyless.config.signing, keyless.releases / first).startswith("not signed: ")


def test_a_job_s_token_is_asked_of_github_for_sigstore(keyless, monkeypatch):
    """The token comes from a server that stands for GitHub's; Sigstore, which is not at hand, then refuses."""
    first, _ = names(keyless)
    with github_tokens() as (url, asked):
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-token")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{url}/token?api-version=1")
        with pytest.raises(OutsideError, match=r"Sigstore did not sign|nobody vouches"):
            sign(keyless, release=first)
    assert asked == [("/token?api-version=1&audience=sigstore", "bearer request-token")]
    assert not signature_of(keyless.releases / first).exists()


MAIN = "https://github.com/shop/models/.github/workflows/main.yml@refs/heads/main"
PRODUCT = "https://github.com/mlops-ci/mlops/.github/workflows/sign.yml@refs/tags/v0.1.0"


def certified(name: str, started: str) -> x509.Certificate:
    """A certificate as Fulcio gives one to a job: of the workflow that holds it, and of the one that was started."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    text = started.encode()
    utf8 = bytes([0x0C, len(text)]) + text  # DER's UTF8String, below 128 bytes
    return (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + timedelta(minutes=10))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name)]), critical=True)
        .add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.18"), utf8), critical=False
        )
        .sign(key, hashes.SHA256())
    )


def test_a_workflow_that_anybody_may_call_signs_for_the_one_that_called_it():
    """The product's own name would be that of every repository which calls it."""
    stranger = MAIN.replace("shop/models", "mallory/models")
    branch = MAIN.replace("heads/main", "heads/mine")
    assert signer_in(certified(PRODUCT, MAIN), MAIN) == PRODUCT
    assert signer_in(certified(MAIN, MAIN), MAIN) == MAIN
    for other in (stranger, branch, f"{MAIN}2"):
        assert signer_in(certified(PRODUCT, other), MAIN) == MAIN, "which the certificate does not bear: refused"


@contextmanager
def github_tokens():
    asked = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"]))
            body = json.dumps({"value": "no.real.token"}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_root_of_trust_that_is_none_refuses_everything(keyless):
    first, _ = names(keyless)
    signature_of(keyless.releases / first).write_text("{}")
    (keyless.root / "trust.json").write_text("{}")
    with (keyless.root / "pyproject.toml").open("a") as file:
        file.write('trust = "trust.json"\n')
    again = open_workspace(keyless.root)
    with pytest.raises(OutsideError, match="root of trust is not at hand"):
        deploy(again, environment="guarded", release=first)
    assert read_pointer(again.environments / "guarded" / "fraud") is None


def test_a_key_does_not_stand_in_for_an_identity(keyless, tmp_path, monkeypatch):
    """Against the public instance's own root of trust, which ships with the library."""
    monkeypatch.setenv("HOME", str(tmp_path))
    from sigstore.models import ClientTrustConfig

    first, _ = names(keyless)
    folder = keyless.releases / first
    (keyless.root / "trust.json").write_text(ClientTrustConfig.production(offline=True)._inner.to_json())
    with (keyless.root / "pyproject.toml").open("a") as file:
        file.write('trust = "trust.json"\n')
    sign_by_key(folder, signature_of(folder), Key(pem=pair()[0]))
    error = refused(open_workspace(keyless.root), first, f"the release {first} is refused")
    assert "certificate" in error.message
    for nonsense in (b"", b"{}", b"null", b"[" * 2000, b"\xff", b'{"verificationMaterial": {"certificate": 7}}'):
        signature_of(folder).write_bytes(nonsense)
        refused(open_workspace(keyless.root), first, f"the release {first} is refused")
    signature_of(folder).unlink()
    refused(open_workspace(keyless.root), first, "it is not signed")
