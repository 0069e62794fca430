"""Whether a repository is set up for its workflows: what their files say, and what GitHub's settings hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.adapters import git
from mlops.adapters.github import settings
from mlops.adapters.github.workflows import FOLDER, Job, Workflow, workflows
from mlops.errors import MlopsError, NotPermitted
from mlops.health import Line
from mlops.workspace import Workspace

if TYPE_CHECKING:
    from mlops.adapters.github.api import GitHub

_COMMENT = (("pull-requests", "write"), ("statuses", "write"))
_TELL = (("deployments", "write"),)
_NEEDS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (r"report\b.*--comment\b", _COMMENT),
    (r"(deploy|rollback)\b", _TELL),
    (r"state fetch\b", (("actions", "read"),)),
)
"""What a command does with the job's token, by how it begins."""

_CALLED = {"report": _COMMENT, "deploy": _TELL, "rollback": _TELL}
"""The same of our workflows, which a job calls."""


def of_files(workspace: Workspace) -> Iterator[Line]:
    """What the workflows' files say, with the line of each fault."""
    root = git.top(workspace.root)
    try:
        found = list(workflows(root))
    except MlopsError as error:
        yield Line(health="fail", what="workflows", found=error.message, fix=error.next_step)
        return
    ours = [one for one in found if any(_is_ours(job) for job in one.jobs)]
    if not ours:
        yield Line(
            health="warn",
            what="workflows",
            found=f"none in {FOLDER} runs mlops: what is pushed is not judged",
            fix="take those that `mlops init` writes into a new project",
        )
        return
    faults = [line for one in ours for line in (*_triggers(one), *_jobs(one), *_versions(one))]
    yield from faults
    if not faults:
        names = ", ".join(Path(one.file).name for one in ours)
        yield Line(health="ok", what="workflows", found=f"{len(ours)} run mlops: {names}")


def of_settings(workspace: Workspace) -> Iterator[Line]:
    """What GitHub's settings lack; without a token, what there is to be looked after by hand."""
    root = git.top(workspace.root)
    try:
        found = [one for one in workflows(root) if any(_is_ours(job) for job in one.jobs)]
    except MlopsError:  # told above
        return
    if not found:
        return
    github = settings.of_repository(workspace.root)
    wanted = _wanted(found)
    if github is None:
        yield from _by_hand(wanted)
        return
    with github:
        for look in (_secrets, _variables, _environments, _branch):
            yield from _asked(look, github, found, workspace)


def _wanted(found: Iterable[Workflow]) -> dict[str, list[str]]:
    """The names that the workflows read: secrets, variables, environments."""
    kinds = {
        "secrets": {name for one in found for name in one.secrets},
        "variables": {name for one in found for name in one.variables},
        "environments": {job.environment for one in found for job in one.jobs if _plain(job.environment)},
    }
    return {kind: sorted(names) for kind, names in kinds.items() if names}


def _by_hand(wanted: dict[str, list[str]]) -> Iterator[Line]:
    told = "; ".join(f"{kind} {', '.join(names)}" for kind, names in wanted.items())
    yield Line(
        health="ok",
        what="GitHub settings",
        found=f"not asked: there is no GITHUB_TOKEN; the workflows read {told or 'no secret, variable or environment'}",
    )


def _asked(
    look: Callable[[GitHub, list[Workflow], Workspace], Iterator[Line]],
    github: GitHub,
    found: list[Workflow],
    workspace: Workspace,
) -> Iterator[Line]:
    """The lines of one look; what the token may not see is a warning with the permission."""
    what = f"GitHub {look.__name__.strip('_')}"
    try:
        yield from look(github, found, workspace)
    except NotPermitted as error:
        fix = f"a token of your own with `{error.permission}` can: GITHUB_TOKEN=… mlops doctor"
        yield Line(health="warn", what=what, found="this token may not see them", fix=fix)
    except MlopsError as error:
        yield Line(health="warn", what=what, found=error.message, fix=error.next_step)


def _secrets(github: GitHub, found: list[Workflow], _: Workspace) -> Iterator[Line]:
    read = {name: f"{one.file}:{line}" for one in found for name, line in one.secrets.items()}
    yield from _missing("secret", read, settings.secrets(github) if read else set(), "gh secret set")


def _variables(github: GitHub, found: list[Workflow], _: Workspace) -> Iterator[Line]:
    read = {name: f"{one.file}:{line}" for one in found for name, line in one.variables.items()}
    yield from _missing("variable", read, settings.variables(github) if read else set(), "gh variable set")


def _missing(kind: str, read: dict[str, str], there: set[str], command: str) -> Iterator[Line]:
    """A name that is read and not set is empty in the workflow, and maybe its organisation's or meant to be."""
    known = {name.upper() for name in there}
    lacking = {name: place for name, place in read.items() if name.upper() not in known}
    for name, place in sorted(lacking.items()):
        text = f"{place} reads it, and the repository has none of that name"
        fix = f"`{command} {name}`, unless its organisation or environment has it, or empty is meant"
        yield Line(health="warn", what=f"{kind} {name}", found=text, fix=fix)
    if read and not lacking:
        yield Line(health="ok", what=f"{kind}s", found=f"{', '.join(sorted(read))} are set")


def _environments(github: GitHub, found: list[Workflow], _: Workspace) -> Iterator[Line]:
    places = {job.environment: f"{one.file}:{job.line}" for one in found for job in one.jobs if _plain(job.environment)}
    there = settings.environments(github) if places else {}
    for name, place in sorted(places.items()):
        what = f"GitHub environment {name}"
        if name not in there:
            fix = "Settings, Environments, New environment: with reviewers and the branches that may deploy"
            yield Line(health="warn", what=what, found=f"{place} enters it, and it is not there", fix=fix)
        elif name == "production" and not there[name].reviewed:
            fix = f"Settings, Environments, {name}, Required reviewers, if a person is to agree"
            yield Line(health="warn", what=what, found="every job of main enters it without being asked", fix=fix)
        else:
            yield Line(health="ok", what=what, found="reviewed" if there[name].reviewed else "there")


def _branch(github: GitHub, found: list[Workflow], workspace: Workspace) -> Iterator[Line]:
    """Whether something that no gate passed can reach the default branch."""
    branch = settings.default_branch(github)
    checks = settings.required_checks(github, branch)
    if not checks:
        classic = settings.protected_checks(github, branch)
        checks = classic if checks is None else checks | (classic or set())
    ours = {f"mlops/{workspace.config.name}", *(job.name for one in found for job in one.jobs)}
    where = f"Settings, Rules, a ruleset for {branch}: Require status checks: mlops/{workspace.config.name}"
    what = f"branch {branch}"
    if checks is None:
        yield Line(health="warn", what=what, found="anybody may push to it, whatever the gates say", fix=where)
    elif not any(ours & set(re.split(r"\s*/\s*", check)) or check in ours for check in checks):
        named = ", ".join(sorted(checks)) or "none"
        yield Line(health="warn", what=what, found=f"no check of ours must pass (required: {named})", fix=where)
    else:
        yield Line(health="ok", what=what, found=f"{', '.join(sorted(checks))} must pass")


def _triggers(one: Workflow) -> Iterator[Line]:
    if "pull_request_target" in one.triggers:
        yield Line(
            health="fail",
            what="workflows",
            found=f"{one.file}: pull_request_target gives the code of a fork your secrets",
            fix="use pull_request: forks then run with a token that reads, and no secrets",
        )


def _jobs(one: Workflow) -> Iterator[Line]:
    for job in one.jobs:
        place = f"{one.file}:{job.line}: the job {job.name}"
        yield from _depth(job, place)
        yield from _permitted(job, place)


def _depth(job: Job, place: str) -> Iterator[Line]:
    """`mlops plan` compares with the base, which a checkout without history does not have."""
    plans = any(command.startswith("plan") for step in job.steps for command in step.commands)
    checkouts = [step for step in job.steps if step.uses.startswith("actions/checkout@")]
    if plans and checkouts and not any(str(step.given.get("fetch-depth")) == "0" for step in checkouts):
        fix = "write `fetch-depth: 0` into the `with:` of actions/checkout"
        yield Line(health="fail", what="workflows", found=f"{place} plans without history", fix=fix)


def _permitted(job: Job, place: str) -> Iterator[Line]:
    called = re.search(r"/mlops/\.github/workflows/([\w-]+)\.ya?ml@", job.uses)
    wanted = set(_CALLED.get(called[1], ()) if called else ())
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


def _is_ours(job: Job) -> bool:
    return "/mlops/.github/workflows/" in job.uses or any(step.commands for step in job.steps)


def _plain(name: str) -> bool:
    return bool(name) and "${{" not in name
