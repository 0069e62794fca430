"""`mlops deploy`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli import in_actions
from mlops.cli.deployments import deploying
from mlops.cli.group import SUMMARIES
from mlops.cli.moves import show, tell_the_ledger
from mlops.cli.options import allow_dirty, as_json, complete_environments, opened, project, why
from mlops.cli.trials import DURATION, SHARE, Resumed, Tried, planned, watch

if TYPE_CHECKING:
    from mlops.declare import FeatureView
    from mlops.judging import Plan
    from mlops.release import Manifest
    from mlops.workspace import Workspace


@click.command("deploy", short_help=SUMMARIES["deploy"])
@click.argument("environment", shell_complete=complete_environments)
@click.argument("release", required=False)
@click.option("--from", "source", default="staging", show_default=True, help="Without RELEASE: what is live there.")
@click.option("--model", "family", default=None, help="Which family, where there are several.")
@click.option("--all", "every", is_flag=True, help="Without RELEASE: of every family that is live there.")
@click.option("--canary", "share", type=SHARE, default=None, metavar="SHARE", help="Try it on this share first: 10%.")
@click.option("--shadow", is_flag=True, help="Ask it what the live release is asked, and answer nobody.")
@click.option("--for", "duration", type=DURATION, default=None, help="How long it is watched.  [default: 10m]")
@click.option("--requests", type=click.IntRange(1), default=None, help="Enough when the canary had so many.")
@click.option("--resume", is_flag=True, help="Go on with a canary that was held, or whose deployer died.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@allow_dirty
@why
@as_json
@project
def command(
    environment: str,
    release: str | None,
    source: str,
    family: str | None,
    every: bool,  # noqa: FBT001 - click passes flags so
    share: float | None,
    shadow: bool,  # noqa: FBT001
    duration: float | None,
    requests: int | None,
    resume: bool,  # noqa: FBT001 - click passes flags so
    dry_run: bool,  # noqa: FBT001 - click passes flags so
    allow_dirty: bool,  # noqa: FBT001 - click passes flags so
    reason: str,
    as_json: bool,  # noqa: FBT001 - click passes flags so
    root: Path,
) -> None:
    """Make a release live in an environment.

    The release is verified byte for byte, its features are published, then the pointer moves; a running
    server follows without closing a connection. What does not become ready never gets a request.
    A canary gets its share of the entities, is judged beside the live release, and is promoted, rolled back
    or held; Ctrl-C ends it.

    \b
    Examples:
      mlops deploy production
      mlops deploy production fraud_v2-3f9c1a --reason "passed the review"
      mlops deploy production --canary 10% --for 10m
      mlops deploy production --all
      mlops deploy production --dry-run
    """
    workspace = opened(root)
    again = {"RELEASE": release, "--canary": share is not None, "--shadow": shadow, "--requests": requests}
    again |= {"--reason": reason, "--dry-run": dry_run}
    _demand_sense(share, shadow=shadow, watched=bool(duration or requests), resume=resume, again=again)
    if every:
        _demand_all(release, family, resume=resume, as_json=as_json)
    if resume:
        watch(workspace, environment, Resumed(family, duration), as_json=as_json)
        return
    plan = planned(share, duration, requests) if share is not None or shadow else None
    asked = _Asked(environment, plan, reason, dry_run=dry_run, allow_dirty=allow_dirty, as_json=as_json)
    if every:
        _each(workspace, asked, _all_live_in(root, source))
        return
    _deploy(workspace, asked, release or _live_in(root, source, family))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be done with a release; `plan` where it is tried first."""

    environment: str
    plan: Plan | None
    reason: str
    dry_run: bool
    allow_dirty: bool
    as_json: bool


def _each(workspace: Workspace, asked: _Asked, names: tuple[str, ...]) -> None:
    """Deploy them one after the other; one that is refused keeps no other back, and the first error is raised."""
    from mlops.errors import MlopsError

    errors: list[MlopsError] = []
    for name in names:
        try:
            _deploy(workspace, asked, name)
        except MlopsError as error:
            errors.append(error)
    for refused in errors[1:]:
        in_actions.tell_error(refused)
        click.echo(f"error: {refused.message}\n  next: {refused.next_step}", err=True)
    if errors:
        raise errors[0]


def _deploy(workspace: Workspace, asked: _Asked, name: str) -> None:
    from mlops.adapters.index import Index
    from mlops.publishing import publish_features
    from mlops.steps.deploy import deploy, preview
    from mlops.unsaved import reason as told

    environment = asked.environment
    reason = told(workspace, environment, name, asked.reason, allowed=asked.allow_dirty)
    if asked.dry_run:
        click.echo(preview(workspace, environment=environment, release=name, reason=reason, plan=asked.plan))
        return
    index = Index(workspace.home / "index.db")
    left: dict[str, str] = {}

    def prepare(manifest: Manifest, online: Path) -> None:
        left.update(publish_features(workspace, index, manifest, online, build=lambda views: compute(workspace, views)))

    if asked.plan is not None:
        trial = Tried(name, asked.plan, reason, prepare)
        if asked.plan.kind == "shadow":  # it answers nobody, so nothing is deployed
            watch(workspace, environment, trial, as_json=asked.as_json)
            return
        with deploying(workspace, environment, _whole(workspace, name), reason) as ended:
            watch(workspace, environment, trial, as_json=asked.as_json, ended=ended)
        return
    with deploying(workspace, environment, _whole(workspace, name), reason) as ended:
        record = deploy(workspace, environment=environment, release=name, reason=reason, prepare=prepare)
        ended(record)
    show(record, as_json=asked.as_json)
    for view, fault in left.items():
        click.echo(f"note: {view} {fault} and stays as it is online", err=True)
    tell_the_ledger(workspace, environment)


def _demand_sense(
    share: float | None, *, shadow: bool, watched: bool, resume: bool, again: Mapping[str, object]
) -> None:
    """UsageError for options that contradict one another; `again` are those that a trial was told when it began."""
    from mlops.errors import UsageError

    if share is not None and shadow:
        raise UsageError("--canary answers requests and --shadow answers none", next_step="leave one of them out")
    unheard = [name for name, given in again.items() if given]
    if resume and unheard:
        raise UsageError(
            f"--resume goes on with what was begun, as it was begun: it takes no {unheard[0]}",
            next_step=f"leave {' and '.join(unheard)} out; `mlops status` shows what is on trial",
        )
    if watched and share is None and not (shadow or resume):
        raise UsageError("--for and --requests say how long a canary is watched", next_step="add --canary 10%")


def _demand_all(release: str | None, family: str | None, *, resume: bool, as_json: bool) -> None:
    """UsageError for options that say which one, or want one answer."""
    from mlops.errors import UsageError

    if release or family or resume:
        raise UsageError(
            "--all takes what is live of every family", next_step="leave RELEASE, --model and --resume out"
        )
    if as_json:
        raise UsageError(
            "--json tells of one deployment", next_step="deploy one family after the other: --model FAMILY"
        )


def _whole(workspace: Workspace, name: str) -> str:
    """The release's whole name."""
    from mlops.targets import chosen

    return chosen.release(workspace, name)


def compute(workspace: Workspace, views: tuple[FeatureView, ...]) -> None:
    """Compute views over the newest snapshots of their sources, as `mlops run` does; raises what stopped it."""
    from mlops.actions.wish import Wish
    from mlops.cli.display import Display
    from mlops.running import run

    with Display() as display:
        _, errors = run(workspace, Wish(command="deploy", views=views, until="build-features"), display)
    if errors:
        raise errors[0]


def _live_in(root: Path, environment: str, family: str | None) -> str:
    from mlops.errors import NothingToDo, UsageError
    from mlops.targets import chosen

    target = chosen.target(opened(root), environment)
    families = target.families()
    if family is None and len(families) > 1:
        raise UsageError(
            f"{environment} has releases of {', '.join(families)}", next_step="say which: --model NAME, or --all"
        )
    name = chosen.family(families, family, environment)
    live = target.standing(name).live
    if live is None:
        raise NothingToDo(f"nothing is live in {environment}", next_step="name a release, or `mlops run`")
    return live


def _all_live_in(root: Path, environment: str) -> tuple[str, ...]:
    from mlops.errors import NothingToDo
    from mlops.targets import chosen

    target = chosen.target(opened(root), environment)
    found = tuple(live for name in target.families() if (live := target.standing(name).live) is not None)
    if not found:
        raise NothingToDo(f"nothing is live in {environment}", next_step="name a release, or `mlops run`")
    return found
