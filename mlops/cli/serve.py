"""`mlops serve`."""

from __future__ import annotations

from pathlib import Path

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import complete_environments, opened, project


@click.command("serve", short_help=SUMMARIES["serve"])
@click.argument("environment", shell_complete=complete_environments)
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="Instead of the environment's.")
@click.option("--model", "family", default=None, help="Which family, where there are several.")
@project
def command(environment: str, port: int | None, family: str | None, root: Path) -> None:
    """Serve what is live in an environment, until Ctrl-C, and follow every deploy and rollback.

    \b
    Example:
      mlops serve staging --port 3001
    """
    from mlops.steps.serve import serve

    workspace = opened(root)
    settings = workspace.config.environments.get(environment)
    if settings is not None:
        click.echo(
            f"starting {environment} on http://{settings.host}:{port or settings.port} (Ctrl-C ends it)", err=True
        )
    serve(workspace, environment=environment, family=family, port=port)
