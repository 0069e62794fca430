"""`mlops deploy`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.moves import show, tell_the_ledger
from mlops.cli.options import as_json, complete_environments, opened, project, why

if TYPE_CHECKING:
    from mlops.declare import FeatureView
    from mlops.release import Manifest
    from mlops.workspace import Workspace


@click.command("deploy", short_help=SUMMARIES["deploy"])
@click.argument("environment", shell_complete=complete_environments)
@click.argument("release", required=False)
@click.option("--from", "source", default="staging", show_default=True, help="Without RELEASE: what is live there.")
@click.option("--model", "family", default=None, help="Which family, where there are several.")
@why
@as_json
@project
def command(
    environment: str,
    release: str | None,
    source: str,
    family: str | None,
    reason: str,
    as_json: bool,  # noqa: FBT001 - click passes flags so
    root: Path,
) -> None:
    """Make a release live in an environment.

    The release is verified byte for byte, its features are published, then the pointer moves; a running
    server follows without closing a connection. What does not become ready never gets a request.

    \b
    Examples:
      mlops deploy production
      mlops deploy production fraud_v2-3f9c1a --reason "passed the review"
    """
    from mlops.adapters.index import Index
    from mlops.publishing import publish_features
    from mlops.steps.deploy import deploy

    workspace = opened(root)
    name = release or _live_in(root, source, family)
    index = Index(workspace.home / "index.db")
    left: dict[str, str] = {}

    def prepare(manifest: Manifest, online: Path) -> None:
        left.update(publish_features(workspace, index, manifest, online, build=lambda views: compute(workspace, views)))

    record = deploy(workspace, environment=environment, release=name, reason=reason, prepare=prepare)
    show(record, as_json=as_json)
    for view, fault in left.items():
        click.echo(f"note: {view} {fault} and stays as it is online", err=True)
    tell_the_ledger(workspace, environment)


def compute(workspace: Workspace, views: tuple[FeatureView, ...]) -> None:
    """Compute views over the newest snapshots of their sources, as `mlops run` does; raises what stopped it."""
    from mlops.actions import Wish
    from mlops.cli.display import Display
    from mlops.running import run

    with Display() as display:
        _, errors = run(workspace, Wish(command="deploy", views=views, until="build-features"), display)
    if errors:
        raise errors[0]


def _live_in(root: Path, environment: str, family: str | None) -> str:
    from mlops.errors import NothingToDo
    from mlops.targets import chosen

    target = chosen.target(opened(root), environment)
    name = chosen.family(target.families(), family, environment)
    live = target.standing(name).live
    if live is None:
        raise NothingToDo(f"nothing is live in {environment}", next_step="name a release, or `mlops run`")
    return live
