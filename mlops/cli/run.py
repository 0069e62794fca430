"""`mlops run`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import allow_dirty, as_json, complete_environments, complete_models, project, report_files, why
from mlops.cli.stage import Aim, Told, judge
from mlops.verdict import KEYED


@click.command("run", short_help=SUMMARIES["run"])
@click.argument("models", nargs=-1, metavar="[MODEL]…", shell_complete=complete_models)
@click.option(
    "--to",
    "environment",
    default="staging",
    show_default=True,
    shell_complete=complete_environments,
    help="Where an accepted release goes live.",
)
@click.option("--no-deploy", is_flag=True, help="End with the registered release.")
@click.option("--from-scratch", is_flag=True, help="Compute every step again, whatever is known.")
@click.option(
    "--no-reuse",
    multiple=True,
    metavar="STEP",
    type=click.Choice(KEYED),
    help="Compute this step again, such as train. As often as wanted.",
)
@allow_dirty
@why
@report_files
@as_json
@project
def command(
    models: tuple[str, ...],
    environment: str,
    no_deploy: bool,  # noqa: FBT001 - click passes flags so
    from_scratch: bool,  # noqa: FBT001 - click passes flags so
    no_reuse: tuple[str, ...],
    allow_dirty: bool,  # noqa: FBT001 - click passes flags so
    reason: str,
    files: tuple[Path, ...],
    as_json: bool,  # noqa: FBT001
    root: Path,
) -> None:
    """Take models from data to a deployed release.

    Without MODEL, the newest version of every model. What was computed before, for the same code, data and
    settings, is reused. Several versions of one model go live one after the other, each judged against the
    one before.

    \b
    Examples:
      mlops run
      mlops run fraud_v1 fraud_v2
      mlops run fraud --to production --reason "new terminals"
      mlops run --no-reuse train
    """
    until = "register" if no_deploy else "deploy"
    to = None if no_deploy else environment
    anew = frozenset(KEYED if from_scratch else no_reuse)
    aim = Aim(to, reason, allow_dirty=allow_dirty, anew=anew)
    report = judge("run", models, root=root, until=until, told=Told(as_json, files), aim=aim)
    if to and report.deployed and not as_json:
        _what_next(root, to, tuple(report.deployed))


def _what_next(root: Path, environment: str, releases: tuple[str, ...]) -> None:
    from mlops.cli.examples import next_lines

    lines = next_lines(root, environment, releases, myself=_myself())
    if lines:
        click.echo("\nnext:")
    for line in lines:
        click.echo(f"  {line}")


def _myself() -> str:
    """How to call this command again: `mlops` where the shell finds it, else by its path."""
    found = shutil.which("mlops")
    own = Path(sys.argv[0])
    if own.name != "mlops" or (found and Path(found).resolve() == own.resolve()):
        return "mlops"
    shorter = os.path.relpath(own)
    return str(own) if shorter.startswith("..") else shorter
