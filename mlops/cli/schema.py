"""`mlops schema`."""

from __future__ import annotations

from pathlib import Path

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import opened, project


@click.command("schema", short_help=SUMMARIES["schema"])
@click.argument("source")
@click.option("--update", is_flag=True, help="Widen what today's data breaks; all else stays.")
@project
def command(source: str, update: bool, root: Path) -> None:  # noqa: FBT001 - click passes flags so
    """Infer or update the committed schema of a source; review the diff before you commit it.

    \b
    Examples:
      mlops schema transactions
      mlops schema transactions --update
    """
    from mlops.steps.schema import schema
    from mlops.steps.snapshot import snapshot

    workspace = opened(root)
    taken = snapshot(workspace, source=source)
    written = schema(workspace, source=source, frame=workspace.frame(taken.outputs["data"]), update=update)
    click.echo(written.diff or f"{written.path} fits today's data; nothing was changed")
    if written.diff:
        click.echo(f"\n{written.path} was written; review and commit it")
