"""`mlops rollback`."""

from __future__ import annotations

from pathlib import Path

import click

from mlops.cli import deployments
from mlops.cli.group import SUMMARIES
from mlops.cli.moves import show, tell_the_ledger
from mlops.cli.options import as_json, complete_environments, opened, project, why

PREVIOUS = "previous"
"""The word for the release that was live before; no release can be called so."""


@click.command("rollback", short_help=SUMMARIES["rollback"])
@click.argument("environment", shell_complete=complete_environments)
@click.option(
    "--to", default=None, metavar="RELEASE", help="A release by name, or by how its name begins.  [default: previous]"
)
@click.option("--model", "family", default=None, help="Which family, where there are several.")
@why
@as_json
@project
def command(
    environment: str,
    to: str | None,
    family: str | None,
    reason: str,
    as_json: bool,  # noqa: FBT001 - click passes flags so
    root: Path,
) -> None:
    """Make the previous or a named release live again, together with its features.

    Needs neither the ledger nor the network. A release that is not whole is refused before anything moves.

    \b
    Examples:
      mlops rollback production --reason "complaints about declined cards"
      mlops rollback production --to fraud_v1-3f9c1a
    """
    from mlops.steps.rollback import rollback

    # A form sends an empty word for what was left out.
    to, family = (None if to in ("", PREVIOUS) else to), family or None

    workspace = opened(root)
    record = rollback(workspace, environment=environment, to=to, family=family, reason=reason)
    show(record, as_json=as_json)
    tell_the_ledger(workspace, environment, patient=False)
    deployments.tell(workspace, record, hurried=True)
