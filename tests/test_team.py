"""A team's ledger in the real thing: MLflow's server on PostgreSQL, its artifacts on S3, behind TLS and a token.

Two machines, two checkouts at other places, no store but the ledger's: what one has computed, the other reuses.
"""

from __future__ import annotations

import http.client
import os
import shutil
import ssl
import subprocess
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mlops.adapters import ledger_artifacts, shared
from mlops.adapters.bentoserver import free_port
from mlops.adapters.index import Entry
from mlops.adapters.objects import ObjectStore
from mlops.errors import OutsideError
from mlops.verdict import Record
from tests import small
from tests.stores.servers import postgresql

PLACE = Path(__file__).parents[1] / ".venv" / "team" / "bin"
TOKEN = "let-me-in"
KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKET = """
import sys, boto3
boto3.client("s3", endpoint_url=sys.argv[1]).create_bucket(Bucket="team")
"""


@contextmanager
def running(words, address, folder, **variables):
    """A server that answers at `address` while the block runs; ended by its process group."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            words, cwd=folder, env={**small.variables(), **variables}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(address, timeout=2)
                break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError((folder / "log").read_text()[-3000:]) from error
                time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


class Guard(BaseHTTPRequestHandler):
    """Passes requests with the token on to the server behind it."""

    behind = 0
    protocol_version = "HTTP/1.1"

    def log_message(self, *_): ...

    def _pass(self):
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {}, b"who are you?")
        there = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=60)
        kept = {
            k: v for k, v in self.headers.items() if k.lower() not in ("host", "transfer-encoding", "content-length")
        }
        there.request(self.command, self.path, body, kept)
        answer = there.getresponse()
        return self._answer(answer.status, dict(answer.getheaders()), answer.read())

    def _body(self):
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status, headers, content):
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815 - http.server's names


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    """The address of the guarded server, its certificate, and the port of its database."""
    if not (PLACE / "mlflow").exists():
        pytest.skip("the servers' environment is not there: make .venv/team/ready")
    folder = tmp_path_factory.mktemp("team")
    s3, port = free_port(), free_port()
    bucket = f"http://127.0.0.1:{s3}"
    python = str(PLACE / "python")
    with (
        postgresql() as (database, user),
        running([str(PLACE / "moto_server"), "-H", "127.0.0.1", "-p", str(s3)], f"{bucket}/moto-api/", folder, **KEYS),
    ):
        subprocess.run([python, "-c", BUCKET, bucket], check=True, env={**os.environ, **KEYS})
        uri = f"postgresql+pg8000://{user}@127.0.0.1:{database}/postgres"
        server = [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        server += ["--backend-store-uri", uri, "--artifacts-destination", "s3://team/artifacts"]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with running(server, f"http://127.0.0.1:{port}/health", folder, MLFLOW_S3_ENDPOINT_URL=bucket, **KEYS, **quiet):
            certificate = folder / "server.pem"
            made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
            made += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
            key = folder / "server.key"
            subprocess.run(["openssl", *made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
            with _guarded(port, certificate, key) as address:
                yield address, certificate, (database, user)


@contextmanager
def _guarded(port, certificate, key):
    guard = ThreadingHTTPServer(("127.0.0.1", 0), type("Guarded", (Guard,), {"behind": port}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    guard.socket = context.wrap_socket(guard.socket, server_side=True)
    thread = threading.Thread(target=guard.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{guard.server_port}"
    finally:
        guard.shutdown()
        guard.server_close()


@pytest.fixture
def member(team, monkeypatch):
    """This process as a machine of the team."""
    address, certificate, _ = team
    monkeypatch.delenv(shared.VARIABLE, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
    return address


def test_a_laptop_reuses_what_the_runner_computed_through_the_ledger_alone(member, tmp_path):
    """Promise 30, its cause; auth token and certificate pass through."""
    runner = small.churn(tmp_path / "runner" / "shop")
    first = small.go(runner, until="register", environment=None)
    assert not first.errors, first
    laptop = tmp_path / "laptop" / "deeper" / "shop"
    shutil.copytree(runner, laptop, ignore=shutil.ignore_patterns(".mlops", "__pycache__"))
    second = small.go(laptop, until="register", environment=None)
    assert not second.errors, second
    assert second.computed == ["register:churn_v1"]
    assert second.report.releases == first.report.releases
    assert second.record("register:churn_v1").facts["version"] == first.record("register:churn_v1").facts["version"]


def test_ten_thousand_runs_do_not_slow_the_lookup(member, team, tmp_path):
    """Promise 30: a lookup is one request for a path, so the runs that lie beside it are not looked at."""
    from mlops.adapters.ledger import Ledger

    ledger = Ledger(tmp_path / ".mlops", "crowd")
    store, objects = shared.opened("", member, "crowd"), ObjectStore(tmp_path / "store")
    outputs = {"model": objects.put(b"model" * 1000)}
    store.keep(Entry(record=Record(step="train", subject="m", key="ab" * 32, outputs=outputs)), objects)
    before = _asked(store)
    _crowd(team[2], ledger.experiment, 10_000)
    (last,) = ledger.client.search_runs([ledger.experiment], max_results=1, order_by=["attributes.start_time DESC"])
    assert last.info.run_name == "run 10000", "they are there for MLflow"
    # Not milliseconds, which a busy machine makes up: what is asked of the server.
    (path,) = before
    assert "/mlflow-artifacts/artifacts/" in path
    assert _asked(store) == before
    assert store.bring(store.find("ab" * 32), ObjectStore(tmp_path / "other"), tmp_path / "scratch")


def _asked(store):
    """The requests that a lookup of a known key takes."""
    seen = []

    def hook(answer, *_args, **_more):
        seen.append(answer.request.path_url)

    hooks = store.place._session.hooks["response"]
    hooks.append(hook)
    try:
        assert store.find("ab" * 32) is not None
    finally:
        hooks.remove(hook)
    return seen


CROWD = """
import sys
import pg8000.native

port, user, experiment, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
base = pg8000.native.Connection(user, host="127.0.0.1", port=port, database="postgres")
base.run(f'''
    insert into runs (run_uuid, name, source_type, user_id, status, start_time, lifecycle_stage,
        experiment_id, artifact_uri)
    select md5(i::text), 'run ' || i, 'LOCAL', 'ann', 'FINISHED', i, 'active', {experiment}, 'mlflow-artifacts:/' || i
    from generate_series(1, {count}) i''')
base.run(f'''
    insert into tags (key, value, run_uuid) select 'mlops.key', md5('k' || i), md5(i::text)
    from generate_series(1, {count}) i''')
"""


def _crowd(database, experiment, count):
    """Runs with tags, written past MLflow, which would take minutes."""
    port, user = database
    words = [str(PLACE / "python"), "-c", CROWD, str(port), user, str(experiment), str(count)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lacking", ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_SERVER_CERT_PATH"])
def test_without_the_token_or_the_certificate_it_is_said_and_costs_time_alone(member, monkeypatch, lacking):
    monkeypatch.delenv(lacking)
    with pytest.raises(OutsideError, match=r"401|SSL"):
        shared.opened("", member, "shop")


def test_what_is_not_there_is_none_and_what_is_spoilt_is_not_taken(member, tmp_path):
    from mlops.adapters.ledger import Ledger

    Ledger(tmp_path / ".mlops", "spoilt")
    store, objects = shared.opened("", member, "spoilt"), ObjectStore(tmp_path / "store")
    assert store.find("cd" * 32) is None
    outputs = {"model": objects.put(b"model"), "empty": objects.put(b"")}
    store.keep(Entry(record=Record(step="train", subject="m", key="k" * 64, outputs=outputs)), objects)
    other = ObjectStore(tmp_path / "other")
    assert store.bring(store.find("k" * 64), other, tmp_path / "scratch")
    assert other.get(outputs["model"]) == b"model"
    assert store.sizes() == {outputs["model"]: 5, outputs["empty"]: 0}
    store.place.write(f"objects/{outputs['model']}/content", b"another")
    assert not store.bring(store.find("k" * 64), ObjectStore(tmp_path / "third"), tmp_path / "scratch")
    assert store.listed().keys() == {"k" * 64}
    store.drop(["k" * 64], outputs.values(), [])
    assert (store.listed(), store.sizes(), store.releases()) == ({}, {}, ())


def test_a_key_is_claimed_through_the_server_too(member, tmp_path):
    """It lists, reads, writes and removes, and that is enough for one machine at a time."""
    from mlops.adapters.ledger import Ledger

    Ledger(tmp_path / ".mlops", "claims")
    first, second = (shared.opened("", member, "claims", who).claims for who in ("runner", "laptop"))
    told = []
    assert first.take("ef" * 32, lambda: False)
    threading.Timer(1.5, first.release, ["ef" * 32]).start()
    assert second.take("ef" * 32, lambda: False, told.append)
    assert told == ["runner"]
    second.close()
    assert shared.opened("", member, "claims").place.names("claims") == []


def test_a_project_s_experiment_is_made_where_there_is_none_but_not_by_a_fork(member, monkeypatch):
    def place():
        return ledger_artifacts.place(member, "never seen", shared.FilePlace, "folder")

    with monkeypatch.context() as patched:
        patched.setattr("mlops.adapters.trust.fork", lambda: "ann/shop, pull request 7")
        assert place() is None
    assert place().url == place().url
