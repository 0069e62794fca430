"""`mlops monitor`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli import in_actions
from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, complete_environments, opened, project, report_files
from mlops.cli.stage import Told, leave, unexplained

if TYPE_CHECKING:
    from mlops.errors import MlopsError
    from mlops.steps.monitor import Wanted
    from mlops.verdict import Report
    from mlops.workspace import Workspace


@click.command("monitor", short_help=SUMMARIES["monitor"])
@click.argument("environment", shell_complete=complete_environments)
@click.option("--model", default=None, metavar="FAMILY", help="Of one model.  [default: all that is live]")
@report_files
@as_json
@project
def command(
    environment: str,
    model: str | None,
    files: tuple[Path, ...],
    as_json: bool,  # noqa: FBT001 - click passes flags so
    root: Path,
) -> None:
    """Judge what is live: its health, its inputs, and its answers once labels arrive.

    A wish to retrain is no failure: the exit code stays 0, and `retrain` is true in the JSON.

    \b
    Examples:
      mlops monitor production
      mlops monitor production --report page.html
      mlops monitor production --model fraud --json
    """
    from mlops.steps.monitor import wanted

    workspace = opened(root)
    told = Told(as_json, files)
    report, errors = _looked(workspace, environment, model, told)
    wishes = wanted(report)
    _tell(workspace, report, errors, wishes, told)
    leave(report, errors)


def _looked(
    workspace: Workspace, environment: str, family: str | None, told: Told
) -> tuple[Report, tuple[MlopsError, ...]]:
    from mlops.actions import Wish
    from mlops.cli.display import Display
    from mlops.cli.report import check
    from mlops.running import run
    from mlops.steps.report import begin
    from mlops.targets import chosen

    for file in told.files:
        check(file)
        file.unlink(missing_ok=True)  # an earlier report must not be taken for this run's
    target = chosen.target(workspace, environment)
    families = target.families()
    chosen.family(families, family or (families[0] if families else None), environment)
    begin(workspace)
    wish = Wish(
        command="monitor", until="monitor", environments=(environment,), families=(family,) if family else families
    )
    with Display(quiet=told.as_json) as display:
        return run(workspace, wish, display)


def _tell(
    workspace: Workspace,
    report: Report,
    errors: tuple[MlopsError, ...],
    wishes: tuple[Wanted, ...],
    told: Told,
) -> None:
    from mlops.cli.report import write
    from mlops.reports import as_json, text
    from mlops.steps.report import keep

    keep(workspace, report)
    if not told.as_json:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
        click.echo(text.render(report, width=width))
        for wish in wishes:
            click.echo(f"retrain  {wish.family}: {wish.reason}")
    elif not unexplained(report, errors):
        plain = {"retrain": bool(wishes), "wishes": [wish.plain() for wish in wishes], **as_json.plain(report)}
        click.echo(json.dumps(plain, indent=2, default=str))
    for file in told.files:
        write(workspace, report, file)
    in_actions.tell(workspace, report, errors if not unexplained(report, errors) else ())
    in_actions.outputs(retrain="true" if wishes else "false", reason="; ".join(wish.reason for wish in wishes))
