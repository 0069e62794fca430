"""Whether a repository's workflows are as the commands in them need it, by their files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mlops.adapters import git
from mlops.adapters.github.workflows import FOLDER, PRODUCTS, Job, Workflow, workflows
from mlops.errors import MlopsError
from mlops.health import Line
from mlops.workspace import Workspace

_COMMENT = (("pull-requests", "write"), ("statuses", "write"))
_TELL = (("deployments", "write"),)
_NEEDS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (r"report\b.*--comment\b", _COMMENT),
    (r"(deploy|rollback)\b", _TELL),
    (r"state fetch\b", (("actions", "read"),)),
)
"""What a command does with the job's token, by how it begins."""

ENTERS = ("deploy", "rollback")
"""Our workflows whose jobs run in an environment of GitHub's, the one that they are given."""


def of_files(workspace: Workspace) -> Iterator[Line]:
    """What the workflows' files say, with the line of each fault."""
    root = git.top(workspace.root)
    try:
        found = list(workflows(root))
    except MlopsError as error:
        yield Line(health="fail", what="workflows", found=error.message, fix=error.next_step)
        return
    ours = [one for one in found if any(is_ours(job) for job in one.jobs)]
    if not ours:
        yield Line(
            health="warn",
            what="workflows",
            found=f"none in {FOLDER} runs mlops: what is pushed is not judged",
            fix="take those that `mlops init` writes into a new project",
        )
        return
    faults = [line for one in ours for line in (*_triggers(one), *_jobs(one, workspace), *_versions(one))]
    faults += _signing(ours, workspace)
    yield from faults
    if not faults:
        names = ", ".join(Path(one.file).name for one in ours)
        yield Line(health="ok", what="workflows", found=f"{len(ours)} run mlops: {names}")


def _triggers(one: Workflow) -> Iterator[Line]:
    if "pull_request_target" in one.triggers:
        yield Line(
            health="fail",
            what="workflows",
            found=f"{one.file}: pull_request_target gives the code of a fork your secrets",
            fix="use pull_request: forks then run with a token that reads, and no secrets",
        )


def _jobs(one: Workflow, workspace: Workspace) -> Iterator[Line]:
    for job in one.jobs:
        place = f"{one.file}:{job.line}: the job {job.name}"
        yield from _depth(job, place)
        yield from _permitted(job, place)
        yield from _granted(job, place)
        yield from _configured(job, place, workspace)


def _granted(job: Job, place: str) -> Iterator[Line]:
    """What a job must grant to the workflow of ours that it calls."""
    for name, access in sorted(PRODUCTS.get(job.product, {}).items()):
        if not job.may(name, access):
            found = f"{place} does not grant `{name}: {access}`, so GitHub refuses to start {job.product}.yml"
            fix = f"write into its `permissions:` the line `{name}: {access}`"
            yield Line(health="fail", what="workflows", found=found, fix=fix)


def _configured(job: Job, place: str, workspace: Workspace) -> Iterator[Line]:
    """Whether the project knows the environment that a job names."""
    known = workspace.config.environments
    name = str(job.given.get("environment", "")) if job.product in (*ENTERS, "monitor", "retrain") else ""
    if is_plain(name) and name not in known:
        fix = f"[tool.mlops.environments.{name}] in pyproject.toml"
        found = f"{place} names the environment {name}, which is not configured"
        yield Line(health="fail", what="workflows", found=found, fix=fix)


def _signing(ours: list[Workflow], workspace: Workspace) -> list[Line]:
    """Whether somebody signs what an environment demands to be signed."""
    demanded = [name for name, one in workspace.config.environments.items() if one.require_signature]
    signs = any(
        job.product == "sign" or any(command.startswith("sign") for step in job.steps for command in step.commands)
        for one in ours
        for job in one.jobs
    )
    deploys = any(job.product == "deploy" for one in ours for job in one.jobs)
    if not demanded or signs or not deploys:
        return []
    found = f"{', '.join(demanded)} demands signatures, and no workflow signs"
    return [Line(health="warn", what="workflows", found=found, fix="call sign.yml as main.yml of `mlops init` does")]


def _depth(job: Job, place: str) -> Iterator[Line]:
    """`mlops plan` compares with the base, which a checkout without history does not have."""
    plans = any(command.startswith("plan") for step in job.steps for command in step.commands)
    checkouts = [step for step in job.steps if step.uses.startswith("actions/checkout@")]
    if plans and checkouts and not any(str(step.given.get("fetch-depth")) == "0" for step in checkouts):
        fix = "write `fetch-depth: 0` into the `with:` of actions/checkout"
        yield Line(health="fail", what="workflows", found=f"{place} plans without history", fix=fix)


def _permitted(job: Job, place: str) -> Iterator[Line]:
    wanted: set[tuple[str, str]] = set()
    for step in job.steps:
        asking = {command: needs for command in step.commands for begins, needs in _NEEDS if re.match(begins, command)}
        wanted |= {need for needs in asking.values() for need in needs}
        if asking and "GITHUB_TOKEN" not in (*step.env, *job.env):
            found = f"{place} gives `mlops {next(iter(asking))}` no token"
            fix = "give the step `env: GITHUB_TOKEN: ${{ github.token }}`"
            yield Line(health="warn", what="workflows", found=found, fix=fix)
    for name, access in sorted(wanted):
        if not job.may(name, access):
            fix = f"write into its `permissions:` the line `{name}: {access}`"
            yield Line(health="warn", what="workflows", found=f"{place} may not {access} {name}", fix=fix)


def _versions(one: Workflow) -> Iterator[Line]:
    """A workflow of another version than ours; the project's lock decides which mlops it runs, its file which steps."""
    from packaging.version import InvalidVersion, Version

    from mlops import __version__

    for pin in one.pins:
        place = f"{one.file}:{pin.line}"
        if "${{" in pin.ref or re.fullmatch("[0-9a-f]{40}", pin.ref):
            continue
        try:
            asked = Version(pin.ref.removeprefix("v"))
        except InvalidVersion:
            fix = f"name a version: @v{__version__}"
            yield Line(health="warn", what="workflows", found=f"{place}: @{pin.ref} moves by itself", fix=fix)
            continue
        if asked < Version(__version__):
            found, fix = f"{place}: @{pin.ref} is older than mlops {__version__}", f"write @v{__version__}"
            yield Line(health="warn", what="workflows", found=found, fix=fix)


def is_ours(job: Job) -> bool:
    """Whether a job calls a workflow of ours, or runs a command of ours."""
    return job.product in PRODUCTS or any(step.commands for step in job.steps)


def is_plain(name: str) -> bool:
    """Whether a name is one, and no expression that a run fills in."""
    return bool(name) and "${{" not in name
