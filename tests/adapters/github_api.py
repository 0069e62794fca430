"""A server on this machine that stands for GitHub's API: it keeps what it is told, answers alike, and records it all.

In a test: `with GitHubApi() as api: …`, `api.url` for GITHUB_API_URL, `api.requests` for what was asked. Under act it
is a program of its own: `python -m tests.adapters.github_api --log FILE` prints its address and writes one JSON line
for each request. `tests/adapters/test_github_contract.py` holds what is asked, and what this answers, to GitHub's own
OpenAPI description.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

TOKEN = "a-token-of-the-tests"
REPOSITORY = "ada/shop"
BOT = {"login": "github-actions[bot]", "type": "Bot", "id": 41898282}

Answer = tuple[int, Any]
_BLOBS = "/blobs/"


@dataclass(frozen=True)
class Asked:
    """A request as it came, and the status and JSON that it got."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    status: int
    answer: Any


@dataclass
class Fault:
    """An answer that takes the place of the real one, so many times."""

    method: str
    path: str
    status: int
    body: Any
    headers: dict[str, str]
    times: int


@dataclass
class Kept:
    """What the repository holds; a test may put things in before."""

    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)  # by the pull request's number
    statuses: list[dict[str, Any]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    deployment_statuses: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    pulls_of: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by commit
    runs: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[int, list[dict[str, Any]]] = field(default_factory=dict)  # by the run's id
    zips: dict[int, bytes] = field(default_factory=dict)  # by the artifact's id
    dispatches: list[dict[str, Any]] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=lambda: {"heads/main": "1" * 40})
    objects: dict[str, Any] = field(default_factory=lambda: {"1" * 40: {"tree": {"sha": "2" * 40}}})
    secrets: list[str] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)
    environments: list[dict[str, Any]] = field(default_factory=list)
    protection: dict[str, Any] | None = None
    rules: list[dict[str, Any]] = field(default_factory=list)


class GitHubApi:
    """The server; a context manager. With `page` entries on a page of a list."""

    def __init__(self, *, repository: str = REPOSITORY, page: int = 100, log: Path | None = None) -> None:
        self.repository = repository
        self.page = page
        self.log = log
        self.kept = Kept()
        self.requests: list[Asked] = []
        self.faults: list[Fault] = []
        self._next = 100
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> None:
        self._server.serve_forever()

    def environment(self, folder: Path, event: str = "push", payload: Any = None, **more: str) -> dict[str, str]:
        """The variables that a runner sets for a step of a job with a token, and their files below `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "event.json").write_text(json.dumps(payload or {}))
        for name in ("summary", "output"):
            (folder / name).touch()
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.url,
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": self.repository,
            "GITHUB_EVENT_NAME": event,
            "GITHUB_EVENT_PATH": str(folder / "event.json"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_SHA": "c" * 40,
            "GITHUB_RUN_ID": "7",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_JOB": "report",
            "GITHUB_TOKEN": TOKEN,
            **more,
        }

    def fail(self, method: str, path: str, status: int, body: Any = None, *, times: int = 99, **headers: str) -> None:
        """Answer the next `times` requests whose path holds the expression `path` with this; `_` in headers is `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(method, path, status, body or {"message": "planted"}, named, times))

    def asked(self, method: str, path: str) -> list[Asked]:
        """The requests whose path ends so."""
        return [one for one in self.requests if one.method == method and re.search(f"{path}$", one.path)]

    def artifact(self, run: int, name: str, files: dict[str, bytes], **of: Any) -> dict[str, Any]:
        """Put an artifact into a run; `of` is what is known of that run: `head_branch`, `head_sha`, ..."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
            for file, data in files.items():
                out.writestr(file, data)
        number = self.new()
        self.kept.zips[number] = packed.getvalue()
        one = {"id": number, "name": name, "size_in_bytes": len(packed.getvalue()), "expired": False}
        one["created_at"] = f"2026-11-30T10:00:{len(self.kept.zips):02d}Z"
        one["workflow_run"] = {"id": run, "repository_id": 1, "head_repository_id": 1, "head_branch": "main", **of}
        self.kept.artifacts.setdefault(run, []).append(one)
        return one

    def new(self) -> int:
        self._next += 1
        return self._next

    def keep(self, one: Asked) -> None:
        """Record a request."""
        self.requests.append(one)
        if self.log is not None:
            entry = {"method": one.method, "path": one.path, "query": one.query, "body": one.body, "status": one.status}
            with self._lock, self.log.open("a") as out:
                out.write(json.dumps(entry) + "\n")

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        """What the repository answers; 404 for what it does not know."""
        prefix = f"/repos/{self.repository}"
        if path == "/user":
            return 403, {"message": "Resource not accessible by integration"}
        for kind, pattern, act in _ROUTES:
            found = re.fullmatch(f"{re.escape(prefix)}{pattern}", path)
            if kind == method and found:
                with self._lock:
                    return act(self, found.groups(), query, body)
        return 404, {"message": "Not Found"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: GitHubApi


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PATCH(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def _handle(self) -> None:
        split = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(split.query).items()}
        if split.path.startswith(_BLOBS):
            self._blob(int(split.path.removeprefix(_BLOBS)))
            return
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(raw) if raw else None
        status, answer, headers = self._answered(split.path, query, body)
        self.server.api.keep(Asked(self.command, split.path, query, dict(self.headers), body, status, answer))
        data = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _blob(self, number: int) -> None:
        """The store that GitHub sends to for an artifact: another host, which refuses to be shown a token."""
        stranger = "Authorization" in self.headers
        data = b"AuthenticationFailed" if stranger else self.server.api.kept.zips[number]
        self.send_response(400 if stranger else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _answered(self, path: str, query: dict[str, str], body: Any) -> tuple[int, Any, dict[str, str]]:
        api = self.server.api
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {"message": "Bad credentials"}, {}
        for fault in api.faults:
            if fault.times > 0 and fault.method == self.command and re.search(fault.path, path):
                fault.times -= 1
                return fault.status, fault.body, fault.headers
        answer = api.answer(self.command, path, query, body)
        status, whole = answer
        if status == 302:
            return status, None, {"Location": f"http://localhost:{self.server.server_port}{whole}"}
        headers = {"Content-Type": "application/json"}
        if isinstance(whole, list):
            whole, more = _paged(whole, query, api.page)
            if more:
                headers["Link"] = f'<{api.url}{path}?{_again(query, more)}>; rel="next"'
        return status, whole, headers


def _paged(whole: list[Any], query: dict[str, str], page: int) -> tuple[list[Any], int]:
    number, size = int(query.get("page", 1)), min(int(query.get("per_page", 30)), page)
    return whole[(number - 1) * size : number * size], number + 1 if len(whole) > number * size else 0


def _again(query: dict[str, str], page: int) -> str:
    return "&".join(f"{name}={value}" for name, value in {**query, "page": str(page)}.items())


Act = Callable[[GitHubApi, tuple[str, ...], dict[str, str], Any], Answer]


def _comments(api: GitHubApi, found: tuple[str, ...], _q: dict[str, str], _b: Any) -> Answer:
    return 200, api.kept.comments.get(int(found[0]), [])


def _comment(api: GitHubApi, found: tuple[str, ...], _q: dict[str, str], body: Any) -> Answer:
    if len(body["body"]) > 65_536:
        return 422, {"message": "Validation Failed", "errors": ["Body is too long (maximum is 65536 characters)"]}
    one = {"id": api.new(), "body": body["body"], "user": BOT}
    one["html_url"] = f"https://github.com/{api.repository}/pull/{found[0]}#issuecomment-{one['id']}"
    api.kept.comments.setdefault(int(found[0]), []).append(one)
    return 201, one


def _edit(api: GitHubApi, found: tuple[str, ...], _q: dict[str, str], body: Any) -> Answer:
    for one in (one for many in api.kept.comments.values() for one in many):
        if one["id"] == int(found[0]):
            one["body"] = body["body"]
            return 200, one
    return 404, {"message": "Not Found"}


def _status(api: GitHubApi, found: tuple[str, ...], _q: dict[str, str], body: Any) -> Answer:
    if len(body.get("description") or "") > 140:
        return 422, {"message": "Validation Failed", "errors": ["description is too long (maximum is 140 characters)"]}
    api.kept.statuses.append({"sha": found[0], **body})
    return 201, {"id": api.new(), **body}


def _deployments(api: GitHubApi, _f: tuple[str, ...], query: dict[str, str], _b: Any) -> Answer:
    wanted = [
        one
        for one in reversed(api.kept.deployments)
        if all(one.get(name) == query[name] for name in ("environment", "task", "ref") if name in query)
    ]
    return 200, wanted


def _deployment(api: GitHubApi, _f: tuple[str, ...], _q: dict[str, str], body: Any) -> Answer:
    one = {"id": api.new(), "sha": body["ref"], **body}
    one.pop("required_contexts", None)
    one.pop("auto_merge", None)
    api.kept.deployments.append(one)
    return 201, one


def _deployment_status(api: GitHubApi, found: tuple[str, ...], _q: dict[str, str], body: Any) -> Answer:
    if not any(one["id"] == int(found[0]) for one in api.kept.deployments):
        return 404, {"message": "Not Found"}
    one = {"id": api.new(), **{name: value for name, value in body.items() if name != "auto_inactive"}}
    api.kept.deployment_statuses.setdefault(int(found[0]), []).append(one)
    return 201, one


def _deployment_states(api: GitHubApi, found: tuple[str, ...], _q: dict[str, str], _b: Any) -> Answer:
    return 200, list(reversed(api.kept.deployment_statuses.get(int(found[0]), [])))


def _dispatched(api: GitHubApi, _f: tuple[str, ...], _q: dict[str, str], body: Any) -> Answer:
    api.kept.dispatches.append(body)
    return 204, None


def _pulls_of(api: GitHubApi, found: tuple[str, ...], _q: dict[str, str], _b: Any) -> Answer:
    return 200, api.kept.pulls_of.get(found[0], [])


def _runs(api: GitHubApi, _f: tuple[str, ...], query: dict[str, str], _b: Any) -> Answer:
    wanted = {name: query[name] for name in ("head_sha", "event", "status") if name in query}
    runs = [
        run
        for run in api.kept.runs
        if all(str(run.get(n)) == v or (n == "status" and run.get("conclusion") == v) for n, v in wanted.items())
    ]
    return 200, {"total_count": len(runs), "workflow_runs": runs}


def _artifacts(api: GitHubApi, found: tuple[str, ...], query: dict[str, str], _b: Any) -> Answer:
    every = api.kept.artifacts.get(int(found[0]), [])
    wanted = [one for one in every if query.get("name") in (None, one["name"])]
    return 200, {"total_count": len(wanted), "artifacts": wanted}


def _every_artifact(api: GitHubApi, _f: tuple[str, ...], query: dict[str, str], _b: Any) -> Answer:
    every = sorted((one for many in api.kept.artifacts.values() for one in many), key=lambda one: -one["id"])
    wanted = [one for one in every if query.get("name") in (None, one["name"])]
    return 200, {"total_count": len(wanted), "artifacts": wanted}


def _zip(api: GitHubApi, found: tuple[str, ...], _q: dict[str, str], _b: Any) -> Answer:
    number = int(found[0])
    return (302, f"{_BLOBS}{number}") if number in api.kept.zips else (404, {"message": "Not Found"})


def _ref(api: GitHubApi, found: tuple[str, ...], _q: dict[str, str], _b: Any) -> Answer:
    sha = api.kept.refs.get(found[0])
    return (200, _pointing(found[0], sha)) if sha else (404, {"message": "Not Found"})


def _new_ref(api: GitHubApi, _f: tuple[str, ...], _q: dict[str, str], body: Any) -> Answer:
    name = body["ref"].removeprefix("refs/")
    if name in api.kept.refs:
        return 422, {"message": "Reference already exists"}
    api.kept.refs[name] = body["sha"]
    return 201, _pointing(name, body["sha"])


def _moved_ref(api: GitHubApi, found: tuple[str, ...], _q: dict[str, str], body: Any) -> Answer:
    api.kept.refs[found[0]] = body["sha"]
    return 200, _pointing(found[0], body["sha"])


def _pointing(name: str, sha: str) -> dict[str, Any]:
    return {"ref": f"refs/{name}", "object": {"sha": sha, "type": "commit"}}


def _object(api: GitHubApi, _f: tuple[str, ...], _q: dict[str, str], body: Any) -> Answer:
    sha = f"{api.new():040x}"
    api.kept.objects[sha] = body
    return 201, {"sha": sha}


def _commit(api: GitHubApi, found: tuple[str, ...], _q: dict[str, str], _b: Any) -> Answer:
    known = api.kept.objects.get(found[0])
    return (200, {"sha": found[0], "tree": known["tree"]}) if known else (404, {"message": "Not Found"})


def _new_commit(api: GitHubApi, _f: tuple[str, ...], _q: dict[str, str], body: Any) -> Answer:
    status, one = _object(api, (), {}, {**body, "tree": {"sha": body["tree"]}})
    return status, {**one, "tree": {"sha": body["tree"]}, "message": body["message"]}


def _pulls(api: GitHubApi, _f: tuple[str, ...], query: dict[str, str], _b: Any) -> Answer:
    wanted = [one for one in api.kept.pulls if query.get("head") in (None, f"{_owner(api)}:{one['head']['ref']}")]
    return 200, [one for one in wanted if query.get("state", "open") in ("all", one["state"])]


def _pull(api: GitHubApi, _f: tuple[str, ...], _q: dict[str, str], body: Any) -> Answer:
    number = len(api.kept.pulls) + 11
    one = {"number": number, "state": "open", "title": body["title"], "body": body["body"]}
    one |= {"head": {"ref": body["head"], "sha": api.kept.refs[f"heads/{body['head']}"]}, "base": {"ref": body["base"]}}
    one["html_url"] = f"https://github.com/{api.repository}/pull/{number}"
    api.kept.pulls.append(one)
    return 201, one


def _edit_pull(api: GitHubApi, found: tuple[str, ...], _q: dict[str, str], body: Any) -> Answer:
    for one in api.kept.pulls:
        if one["number"] == int(found[0]):
            one.update(body)
            return 200, one
    return 404, {"message": "Not Found"}


def _repository(api: GitHubApi, _f: tuple[str, ...], _q: dict[str, str], _b: Any) -> Answer:
    return 200, {"full_name": api.repository, "default_branch": "main", "private": True}


def _named(kind: str) -> Act:
    def act(api: GitHubApi, _f: tuple[str, ...], _q: dict[str, str], _b: Any) -> Answer:
        names = getattr(api.kept, kind)
        return 200, {"total_count": len(names), kind: [{"name": name} for name in names]}

    return act


def _environments(api: GitHubApi, _f: tuple[str, ...], _q: dict[str, str], _b: Any) -> Answer:
    return 200, {"total_count": len(api.kept.environments), "environments": api.kept.environments}


def _protection(api: GitHubApi, _f: tuple[str, ...], _q: dict[str, str], _b: Any) -> Answer:
    return (200, api.kept.protection) if api.kept.protection else (404, {"message": "Branch not protected"})


def _rules(api: GitHubApi, _f: tuple[str, ...], _q: dict[str, str], _b: Any) -> Answer:
    return 200, api.kept.rules


def _owner(api: GitHubApi) -> str:
    return api.repository.partition("/")[0]


_ROUTES: tuple[tuple[str, str, Act], ...] = (
    ("GET", "", _repository),
    ("GET", r"/issues/(\d+)/comments", _comments),
    ("POST", r"/issues/(\d+)/comments", _comment),
    ("PATCH", r"/issues/comments/(\d+)", _edit),
    ("POST", r"/statuses/([0-9a-f]+)", _status),
    ("GET", r"/deployments", _deployments),
    ("POST", r"/deployments", _deployment),
    ("GET", r"/deployments/(\d+)/statuses", _deployment_states),
    ("POST", r"/deployments/(\d+)/statuses", _deployment_status),
    ("POST", r"/dispatches", _dispatched),
    ("GET", r"/commits/([0-9a-f]+)/pulls", _pulls_of),
    ("GET", r"/actions/runs", _runs),
    ("GET", r"/actions/runs/(\d+)/artifacts", _artifacts),
    ("GET", r"/actions/artifacts", _every_artifact),
    ("GET", r"/actions/artifacts/(\d+)/zip", _zip),
    ("GET", r"/git/ref/(.+)", _ref),
    ("POST", r"/git/refs", _new_ref),
    ("PATCH", r"/git/refs/(.+)", _moved_ref),
    ("POST", r"/git/blobs", _object),
    ("POST", r"/git/trees", _object),
    ("GET", r"/git/commits/([0-9a-f]+)", _commit),
    ("POST", r"/git/commits", _new_commit),
    ("GET", r"/pulls", _pulls),
    ("POST", r"/pulls", _pull),
    ("PATCH", r"/pulls/(\d+)", _edit_pull),
    ("GET", r"/actions/secrets", _named("secrets")),
    ("GET", r"/actions/variables", _named("variables")),
    ("GET", r"/environments", _environments),
    ("GET", r"/branches/[^/]+/protection", _protection),
    ("GET", r"/rules/branches/[^/]+", _rules),
)


def main() -> None:
    """Serve until the process is ended; the address is the only line on stdout."""
    options = argparse.ArgumentParser()
    options.add_argument("--repository", default=REPOSITORY)
    options.add_argument("--log", type=Path)
    given = options.parse_args()
    api = GitHubApi(repository=given.repository, log=given.log)
    sys.stdout.write(f"{api.url}\n")
    sys.stdout.flush()
    api.serve()


if __name__ == "__main__":
    main()
