"""Workflows as a graph of jobs: who calls whom, with what permissions, secrets and inputs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

OURS = re.compile(r"(?:mlops-ci/mlops/|\./)\.github/workflows/([a-z-]+\.yml)(?:@\S+)?")


def read(file: Path) -> dict[str, Any]:
    """A workflow; YAML takes the key `on` for true."""
    whole = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {("on" if key is True else key): value for key, value in whole.items()}


def triggers(workflow: Mapping[str, Any]) -> set[str]:
    on = workflow["on"]
    return {on} if isinstance(on, str) else set(on)


@dataclass(frozen=True)
class Reached:
    """A job with steps, as a trigger reaches it: what it may do, and what secrets it is given."""

    path: tuple[str, ...]
    job: Mapping[str, Any]
    permissions: Mapping[str, str]
    secrets: frozenset[str]
    steps: list[Mapping[str, Any]]


def reached(
    file: Path, product: Path, *, forks: bool, path: tuple[str, ...] = (), given: Any = None
) -> Iterator[Reached]:
    """The jobs that an event of `file` reaches; with `forks`, those that one from a fork does.

    `given` are the permissions and secrets of the job that calls, None for an event.
    """
    workflow = read(file)
    for name, job in workflow["jobs"].items():
        if forks and _only_from_here(job):
            continue
        here = (*path, file.name, name)
        permissions = job.get("permissions", workflow.get("permissions"))
        assert isinstance(permissions, dict), f"{here}: permissions are not spelt out"
        if given is not None:
            too_much = {n: p for n, p in permissions.items() if _rank(p) > _rank(given[0].get(n, "none"))}
            assert not too_much, f"{here} asks for {too_much}, which its caller does not grant: GitHub refuses to start"
        secrets = _secrets(job, given)
        if "uses" in job:
            called = OURS.fullmatch(job["uses"])
            assert called, f"{here} calls a stranger: {job['uses']}"
            yield from reached(product / called[1], product, forks=forks, path=here, given=(permissions, secrets))
        else:
            yield Reached(here, job, permissions, secrets, job["steps"])


def _only_from_here(job: Mapping[str, Any]) -> bool:
    """Whether the job's condition keeps forks out: a conjunction, of which one part compares the repositories."""
    condition = str(job.get("if", "")).strip().removeprefix("${{").removesuffix("}}")
    parts = [part.strip() for part in condition.split("&&")]
    return "||" not in condition and "github.event.pull_request.head.repo.full_name == github.repository" in parts


def _secrets(job: Mapping[str, Any], given: Any) -> frozenset[str]:
    """The secrets that the job names and that are not empty for it."""
    passed = job.get("secrets", {})
    assert passed != "inherit", "secrets are passed one by one"
    text = json.dumps({**job, "secrets": None}) + json.dumps(passed)
    named = set(re.findall(r"secrets\.([A-Za-z_-]+)", text))
    there = named if given is None else named & {str(name) for name in given[1]}
    if "uses" in job:
        return frozenset(
            key for key, value in passed.items() if set(re.findall(r"secrets\.([A-Za-z_-]+)", value)) & there
        )
    return frozenset(there)


def _rank(access: str) -> int:
    return ("none", "read", "write").index(access)


def lines(job: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The steps of a job that run a shell."""
    yield from (step for step in job.get("steps", []) if "run" in step)
