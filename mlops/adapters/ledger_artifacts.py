"""The artifact store behind a team's MLflow server, by its REST interface: no import of MLflow, one request a lookup.

Searching the ledger's runs for a key takes longer with each run; a path does not. So records lie under a path that
their key makes, in the project's own experiment, where those who may read its runs may read them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from mlops.adapters import files, trust

if TYPE_CHECKING:
    import requests

    from mlops.adapters.place import Place

_SECONDS = (10, 300)  # to connect, and between two pieces
_CHUNK = 1 << 20
_API = "api/2.0/mlflow-artifacts/artifacts"
_SCHEME = "mlflow-artifacts"
_REMOTE = ("s3", "gs", "gcs", "abfs", "abfss", "wasbs", "hdfs")


class ProxyPlace:
    """Named bytes behind a server that passes artifacts on (`mlflow server --serve-artifacts`, its default)."""

    def __init__(self, session: requests.Session, server: str, root: str) -> None:
        self.url = f"{server}/{_API}/{root}"
        self._session, self._api, self._root = session, f"{server}/{_API}", root
        self._tls = _tls()

    def read(self, name: str) -> bytes | None:
        """The bytes of that name, or None."""
        answer = self._session.get(self._address(name), timeout=_SECONDS, **self._tls)
        return bytes(answer.content) if self._there(answer, name) else None

    def fetch(self, name: str, target: Path) -> bool:
        """Write the bytes of that name to a file; whether there are any."""
        with self._session.get(self._address(name), timeout=_SECONDS, stream=True, **self._tls) as answer:
            if not self._there(answer, name):
                return False
            with files.disk_errors(target), target.open("wb") as file:
                for chunk in answer.iter_content(_CHUNK):
                    file.write(chunk)
        return True

    def has(self, name: str) -> bool:
        """Whether there are bytes of that name: each lies in a folder of its own, so that the listing is short."""
        folder, _, last = name.rpartition("/")
        return last in self._listed(folder)

    def write(self, name: str, content: bytes | Path) -> None:
        """Put bytes there by one request."""
        if isinstance(content, bytes):
            self._session.put(self._address(name), data=content, timeout=_SECONDS, **self._tls).raise_for_status()
            return
        with content.open("rb") as file:
            data: Any = file if content.stat().st_size else b""
            self._session.put(self._address(name), data=data, timeout=_SECONDS, **self._tls).raise_for_status()

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, by its last name; nothing where there is none."""
        return list(self._listed(folder))

    def size(self, name: str) -> int:
        """How many bytes lie there; 0 where nothing does."""
        folder, _, last = name.rpartition("/")
        return self._listed(folder).get(last, 0)

    def _listed(self, folder: str) -> dict[str, int]:
        """What lies in a folder, by its last name, with its bytes."""
        asked = {"path": f"{self._root}/{folder}"}
        answer = self._session.get(self._api, params=asked, timeout=_SECONDS, **self._tls)
        answer.raise_for_status()
        found = answer.json().get("files", [])
        return {PurePosixPath(one["path"]).name: int(one.get("file_size") or 0) for one in found}

    def remove(self, name: str) -> None:
        """Take away what is there, if anything is."""
        answer = self._session.delete(self._address(name), timeout=_SECONDS, **self._tls)
        if answer.status_code != 404:
            answer.raise_for_status()

    def _there(self, answer: requests.Response, name: str) -> bool:
        """Whether the answer holds the bytes. Of a name that it lacks the server says 404, or 500 with some stores."""
        if answer.ok:
            return True
        if answer.status_code in (401, 403) or (answer.status_code != 404 and self.has(name)):
            answer.raise_for_status()
        return False

    def _address(self, name: str) -> str:
        return f"{self._api}/{quote(f'{self._root}/{name}')}"


def place(ledger: str, project: str, elsewhere: Callable[[str], Place], folder: str) -> Place | None:
    """Where a project's artifacts lie, as its experiment says: behind the server, or at an fsspec URL of their own.

    The experiment is made where there is none yet, but not in a fork's run. None where there is none, or where its
    artifacts lie in a folder of the server's machine.
    """
    session, server = _session(), ledger.rstrip("/")
    experiments = f"{server}/api/2.0/mlflow/experiments"
    asked = {"experiment_name": project}
    answer = session.get(f"{experiments}/get-by-name", params=asked, timeout=_SECONDS, **_tls())
    if answer.status_code == 404:
        if trust.fork():
            return None
        session.post(
            f"{experiments}/create", json={"name": project}, timeout=_SECONDS, **_tls()
        )  # somebody may be quicker
        answer = session.get(f"{experiments}/get-by-name", params=asked, timeout=_SECONDS, **_tls())
    answer.raise_for_status()
    location = urlsplit(str(answer.json()["experiment"]["artifact_location"]))
    if location.scheme == _SCHEME:
        return ProxyPlace(session, server, f"{location.path.strip('/')}/{folder}")
    return elsewhere(location.geturl()) if location.scheme in _REMOTE else None


def _session() -> requests.Session:
    """With the credentials that MLflow's own client takes, from the same variables."""
    import requests

    session = requests.Session()
    token, user = (os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("TOKEN", "USERNAME"))
    if user:
        session.auth = (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
    elif token:
        session.headers["Authorization"] = f"Bearer {token}"
    return session


def _tls() -> dict[str, Any]:
    """How the server is believed, for each request: what a session says of it gives way to REQUESTS_CA_BUNDLE."""
    found: dict[str, Any] = {}
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
        found["verify"] = False
    elif certificates := os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        found["verify"] = certificates
    if own := os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        found["cert"] = own
    return found
