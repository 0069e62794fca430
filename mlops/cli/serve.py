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
@click.option("--systemd", is_flag=True, help="Print a systemd unit that does this from boot on, and serve nothing.")
@project
def command(
    environment: str,
    port: int | None,
    family: str | None,
    systemd: bool,  # noqa: FBT001 - click passes flags so
    root: Path,
) -> None:
    """Serve what is live in an environment, until Ctrl-C, and follow every deploy and rollback.

    \b
    Examples:
      mlops serve staging --port 3001
      mlops serve production --systemd | sudo tee /etc/systemd/system/mlops-production.service
    """
    import logging

    from mlops.steps.serve import serve, unit

    workspace = opened(root, uses=False)  # it runs for months; what it serves is kept by its pointer
    if systemd:
        click.echo(unit(workspace, environment=environment, family=family, port=port), nl=False)
        return

    def started(host: str, port: int) -> None:
        click.echo(f"starting {environment} on http://{host}:{port} (Ctrl-C ends it)", err=True)

    logging.basicConfig(format="%(asctime)s [%(levelname)s] [serve] %(message)s")  # workers log by themselves
    logging.getLogger("mlops.serving").setLevel(logging.INFO)
    serve(workspace, environment=environment, family=family, port=port, started=started)
