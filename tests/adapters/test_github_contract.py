"""What we ask of GitHub, and what the tests' server answers, is what GitHub's own OpenAPI description says.

The description is fetched by npm (`@octokit/openapi`) when the tests run, and is not committed; without npm or a
network they skip.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlops.adapters.github import artifacts, comments, deployments, handed_on, pulls, settings
from mlops.adapters.github.api import GitHub
from mlops.adapters.github.event import Event
from tests.adapters.github_api import REPOSITORY, TOKEN, Asked, GitHubApi

_FILE = "package/generated/api.github.com.json"


@pytest.fixture(scope="session")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """GitHub's OpenAPI description."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("openapi")
    packed = subprocess.run(
        [npm, "pack", "--silent", "@octokit/openapi"], cwd=folder, capture_output=True, timeout=120, check=False
    )
    if packed.returncode:
        pytest.skip("npm cannot fetch @octokit/openapi")
    (file,) = folder.glob("*.tgz")
    with tarfile.open(file) as tar:
        inside = tar.extractfile(_FILE)
        assert inside is not None
        whole: dict[str, Any] = json.load(inside)
    file.unlink()
    return whole


@pytest.fixture(scope="session")
def asked() -> list[Asked]:
    """Every request that we know how to make, as the tests' server got and answered it."""
    with GitHubApi() as server:
        event = Event(name="push", repository=REPOSITORY, sha="c" * 40, workspace=Path(), api=server.url, run="7")
        with GitHub(event, TOKEN) as github:
            everything(server, github)
        return server.requests


def everything(server: GitHubApi, github: GitHub) -> None:
    comments.upsert(github, 3, "shop", "first")
    comments.upsert(github, 3, "shop", "second")
    comments.set_status(github, "mlops/shop/check-model", "failure", "below the floor")
    for release in ("churn_v1-aa", "churn_v1-bb"):
        move = deployments.Move(
            action="deploy", environment="production", family="churn", release=release, url="https://a.b"
        )
        deployments.end(github, deployments.begin(github, move), move, live=True, said="is live")
    for title in ("first", "second"):
        pulls.open_pull_request(github, branch="retrain", title=title, body="b", files={"a": b"a"})
    pulls.dispatch(github, "retrain", {"model": "churn"})
    head = {"sha": "a" * 40, "repo": {"full_name": REPOSITORY}}
    merged = {"number": 3, "merged_at": "2026-11-30T10:00:00Z", "merge_commit_sha": "d" * 40, "head": head}
    server.kept.pulls_of["d" * 40] = [merged]
    server.artifact(7, "mlops-state", {"state.tar": b"a"}, head_branch="main")
    with tempfile.TemporaryDirectory() as folder:
        for one in handed_on.computed(github):
            artifacts.fetch(github, one, Path(folder) / "state")
    server.kept.secrets = ["A"]
    server.kept.variables = ["B"]
    server.kept.environments = [{"name": "production", "protection_rules": [{"type": "required_reviewers"}]}]
    check = {"required_status_checks": [{"context": "mlops/shop"}]}
    server.kept.rules = [{"type": "required_status_checks", "parameters": check}]
    server.kept.protection = {"required_status_checks": {"contexts": ["a"], "checks": [{"context": "a"}]}}
    assert settings.default_branch(github) == "main"
    for ask in (settings.secrets, settings.variables, settings.environments):
        ask(github)
    settings.required_checks(github, "main")
    settings.protected_checks(github, "main")


def operation(described: dict[str, Any], one: Asked) -> dict[str, Any]:
    """The operation of the description that a request is for; the one with the fewest placeholders."""
    fitting = [
        (template.count("{"), described["paths"][template][one.method.lower()])
        for template in described["paths"]
        if one.method.lower() in described["paths"][template] and re.fullmatch(_pattern(template), one.path)
    ]
    assert fitting, f"GitHub has no {one.method} {one.path}"
    found: dict[str, Any] = min(fitting, key=lambda each: each[0])[1]
    return found


def _pattern(template: str) -> str:
    parts = (
        ".+" if part in ("{ref}", "{path}") else "[^/]+" if part.startswith("{") else re.escape(part)
        for part in re.split(r"(\{[^}]+\})", template)
    )
    return "".join(parts)


def validator(described: dict[str, Any], schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**schema, "components": described["components"]})


def resolved(described: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        place: Any = described
        for part in value["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        value = place
    return value


def test_every_way_of_asking_is_among_them(asked):
    """What is not asked here is not held to the description."""
    made = {
        (one.method, re.sub(r"\d{2,}|[0-9a-f]{40}", "N", one.path.removeprefix(f"/repos/{REPOSITORY}")))
        for one in asked
    }
    assert len(made) >= 23
    assert all(one.status < 400 or one.status == 422 for one in asked)


def test_every_request_is_one_that_github_describes(described, asked):
    for one in asked:
        known = operation(described, one)
        allowed = {
            resolved(described, p)["name"]
            for p in known.get("parameters", [])
            if resolved(described, p)["in"] == "query"
        }
        assert set(one.query) <= allowed, f"{one.method} {one.path}"
        if one.body is not None:
            schema = known["requestBody"]["content"]["application/json"]["schema"]
            validator(described, schema).validate(one.body)
            own = set(resolved(described, schema).get("properties", {}))
            assert set(one.body) <= own, f"{one.method} {one.path} has no {set(one.body) - own}"


def test_what_the_server_of_the_tests_answers_has_the_fields_that_github_s_have(described, asked):
    for one in asked:
        answers = operation(described, one)["responses"]
        assert str(one.status) in answers, f"{one.method} {one.path} never answers {one.status}"
        if one.status >= 400 or one.answer is None:
            continue
        content = resolved(described, answers[str(one.status)])["content"]["application/json"]["schema"]
        unknown = list(_unknown(described, content, one.answer))
        assert unknown == [], f"{one.method} {one.path}"


def _unknown(described: dict[str, Any], schema: dict[str, Any], value: Any, place: str = ""):
    """Fields of an answer that its schema does not have."""
    schema = resolved(described, schema)
    kinds = [resolved(described, each) for name in ("allOf", "anyOf", "oneOf") for each in schema.get(name, [])]
    if isinstance(value, list):
        items = schema.get("items", {})
        for each in value:
            yield from _unknown(described, items, each, f"{place}[]")
    elif isinstance(value, dict):
        known = {n: s for kind in (schema, *kinds) for n, s in kind.get("properties", {}).items()}
        if not known:  # anything goes, as in a deployment's payload
            return
        for name, inner in value.items():
            if name not in known:
                yield f"{place}.{name}"
            else:
                yield from _unknown(described, known[name], inner, f"{place}.{name}")
