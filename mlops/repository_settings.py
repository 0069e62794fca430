"""Whether a repository's settings on GitHub hold what its workflows read, as far as a token may look."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from mlops.adapters import git
from mlops.adapters.github import settings
from mlops.adapters.github.workflows import OPTIONAL, Job, Workflow, workflows
from mlops.errors import MlopsError, NotPermitted
from mlops.health import Line
from mlops.repository import ENTERS, is_ours, is_plain
from mlops.workspace import Workspace

if TYPE_CHECKING:
    from mlops.adapters.github.api import GitHub


def of_settings(workspace: Workspace) -> Iterator[Line]:
    """What GitHub's settings lack; without a token, what there is to be looked after by hand."""
    root = git.top(workspace.root)
    try:
        found = [one for one in workflows(root) if any(is_ours(job) for job in one.jobs)]
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
    """The names that the workflows read and need: secrets, variables, environments."""
    kinds = {
        "secrets": {name for one in found for name in one.secrets} - OPTIONAL,
        "variables": {name for one in found for name in one.variables} - OPTIONAL,
        "environments": set(_entered(found)),
    }
    return {kind: sorted(names) for kind, names in kinds.items() if names}


def _by_hand(wanted: dict[str, list[str]]) -> Iterator[Line]:
    told = "; ".join(f"{kind} {', '.join(names)}" for kind, names in wanted.items())
    yield Line(
        health="ok",
        what="GitHub settings",
        found=f"not asked: there is no GITHUB_TOKEN; the workflows need {told or 'no secret, variable or environment'}",
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


def _entered(found: Iterable[Workflow]) -> dict[str, str]:
    """The environments of GitHub's that jobs run in, by name, each with the place of a job that does."""
    places: dict[str, str] = {}
    for one in found:
        for job in one.jobs:
            name = str(job.given.get("environment", "")) if job.product in ENTERS else job.environment
            if is_plain(name):
                places.setdefault(name, f"{one.file}:{job.line}")
    return places


def _secrets(github: GitHub, found: list[Workflow], workspace: Workspace) -> Iterator[Line]:
    read = {name: f"{one.file}:{line}" for one in found for name, line in one.secrets.items()}
    there = settings.secrets(github) if read else set()
    yield from _missing("secret", read, there, "gh secret set")
    signing = workspace.config.signing
    if signing.method == "key" and "MLOPS_SIGNING_KEY" in read and "MLOPS_SIGNING_KEY" not in there:
        yield Line(
            health="warn",
            what="secret MLOPS_SIGNING_KEY",
            found=f"{read['MLOPS_SIGNING_KEY']} signs by a key, and the repository has none of that name",
            fix="`gh secret set MLOPS_SIGNING_KEY < release.key`, unless its organisation has it",
        )


def _variables(github: GitHub, found: list[Workflow], _: Workspace) -> Iterator[Line]:
    read = {name: f"{one.file}:{line}" for one in found for name, line in one.variables.items()}
    yield from _missing("variable", read, settings.variables(github) if read else set(), "gh variable set")


def _missing(kind: str, read: dict[str, str], there: set[str], command: str) -> Iterator[Line]:
    """A name that is read and not set is empty in the workflow, and maybe its organisation's or meant to be."""
    known = {name.upper() for name in there}
    lacking = {name: place for name, place in read.items() if name.upper() not in known | OPTIONAL}
    for name, place in sorted(lacking.items()):
        text = f"{place} reads it, and the repository has none of that name"
        fix = f"`{command} {name}`, unless its organisation or environment has it, or empty is meant"
        yield Line(health="warn", what=f"{kind} {name}", found=text, fix=fix)
    if read and not lacking:
        at_default = sorted(name for name in read if name.upper() not in known)
        told = [f"{', '.join(sorted(set(read) - set(at_default)))} set"] if set(read) - set(at_default) else []
        told += [f"{', '.join(at_default)} unset, which is a default"] if at_default else []
        yield Line(health="ok", what=f"{kind}s", found="; ".join(told))


def _environments(github: GitHub, found: list[Workflow], _: Workspace) -> Iterator[Line]:
    places = _entered(found)
    there = settings.environments(github) if places else {}
    for name, place in sorted(places.items()):
        what = f"GitHub environment {name}"
        if name not in there:
            fix = "Settings, Environments, New environment: with reviewers and the branches that may deploy"
            text = f"{place} enters it, and it is not there: the first run makes it, open to every branch"
            yield Line(health="warn", what=what, found=text, fix=fix)
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
    check = next((f"{job.name} / verdict" for one in found for job in one.jobs if _judges(one, job)), None)
    wanted = check or f"mlops/{workspace.config.name}"
    where = f"Settings, Rules, a ruleset for {branch}: Require status checks: {wanted}"
    what = f"branch {branch}"
    if checks is None:
        yield Line(health="warn", what=what, found="anybody may push to it, whatever the gates say", fix=where)
    elif not any(ours & set(re.split(r"\s*/\s*", check)) or check in ours for check in checks):
        named = ", ".join(sorted(checks)) or "none"
        yield Line(health="warn", what=what, found=f"no check of ours must pass (required: {named})", fix=where)
    else:
        yield Line(health="ok", what=what, found=f"{', '.join(sorted(checks))} must pass")


def _judges(one: Workflow, job: Job) -> bool:
    """Whether a job of a pull request calls the pipeline, whose last job is the verdict, for forks too."""
    return job.product == "pipeline" and "pull_request" in one.triggers
