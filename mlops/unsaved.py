"""Whether what was made of unsaved changes may go to an environment: nobody could make it again.

On this machine it may, so that a folder without git works from the first minute. Production and places elsewhere
refuse it, unless their settings or `--allow-dirty` say otherwise; the history then tells so.
"""

from __future__ import annotations

from mlops.adapters import git
from mlops.errors import DeploymentFailed, NothingToDo, UsageError
from mlops.release import folder
from mlops.serving.integrity import NotWhole, read_manifest
from mlops.targets import chosen
from mlops.workspace import Workspace

PRODUCTION = "production"
ALLOWED = "unsaved changes allowed by --allow-dirty"


def refuses(workspace: Workspace, environment: str) -> bool:
    """Whether an environment refuses releases that were made of unsaved changes."""
    settings = chosen.environment(workspace, environment)
    if settings.dirty == "auto":
        return environment == PRODUCTION or settings.target != "local"
    return settings.dirty == "refuse"


def demand_saved(workspace: Workspace, environment: str, state: git.State) -> None:
    """UsageError before anything is computed, where the environment would refuse what this working copy makes."""
    if state.dirty and refuses(workspace, environment):
        what = "has unsaved changes" if state.known else "has no commit"
        raise UsageError(f"{environment} takes what has a commit, and this folder {what}", next_step=_next(state))


def reason(workspace: Workspace, environment: str, release: str, why: str, *, allowed: bool) -> str:
    """The reason to keep of a deployment; DeploymentFailed where it refuses what was made of unsaved changes.

    A release that cannot be read is refused by the deployment itself.
    """
    try:
        manifest = read_manifest(folder(workspace.releases, chosen.release(workspace, release)))
    except (NotWhole, NothingToDo):
        return why
    if not manifest.dirty or not refuses(workspace, environment):
        return why
    if allowed:
        return f"{why}; {ALLOWED}" if why else ALLOWED
    raise DeploymentFailed(
        f"{manifest.release} was made of unsaved changes, which {environment} refuses",
        next_step=_next(git.state(workspace.root)),
    )


def _next(state: git.State) -> str:
    commit = "commit them" if state.known else "git init && git add . && git commit -m start"
    return f"{commit}, and `mlops run` names the release by that commit; or add --allow-dirty"
