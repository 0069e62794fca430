"""`mlops features`: the group; each verb is a command of its own below."""

from __future__ import annotations

from pathlib import Path

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import opened, project


@click.group("features", short_help=SUMMARIES["features"])
def command() -> None:
    """Work with the stored features.

    \b
    Example:
      mlops features export --to feast
    """


@command.command("export")
@click.option("--to", type=click.Choice(["feast"]), required=True, help="Whose repository to write.")
@click.argument("folder", metavar="[DIR]", default="feast_repo", type=click.Path(file_okay=False, path_type=Path))
@project
def export(to: str, folder: Path, root: Path) -> None:  # noqa: ARG001 - there is one choice
    """Write the views and models as a repository that `feast apply` accepts, into DIR (feast_repo).

    feature_definitions.py is written anew each time; feature_store.yaml only where there is none. The views' computed
    histories are copied below DIR/data.

    \b
    Example:
      mlops features export --to feast && cd feast_repo && feast apply
    """
    from mlops.adapters.index import Index
    from mlops.steps.features import export as write

    workspace = opened(root)
    facts = write(workspace, Index(workspace.home / "index.db"), folder=folder).facts
    views, services = facts["views"], facts["services"]
    click.echo(f"wrote {facts['folder']}: {len(views)} feature views, {len(services)} feature services")
    if facts["left out"]:
        click.echo(f"  on-demand functions stay with mlops: {', '.join(facts['left out'])}")
    click.echo(f"  next: cd {facts['folder']} && feast apply")
