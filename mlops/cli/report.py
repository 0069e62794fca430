"""`mlops report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import opened, project

if TYPE_CHECKING:
    from mlops.verdict import Report
    from mlops.workspace import Workspace

_HERE = "report.html"


@click.command("report", short_help=SUMMARIES["report"])
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--open", "opens", is_flag=True, help="Show it in the browser.")
@project
def command(file: Path | None, opens: bool, root: Path) -> None:  # noqa: FBT001 - click passes flags so
    """Write what the last run found as a page.

    The suffix of FILE chooses the format: .html, .md, .json or .txt. Without FILE the page is .mlops/report.html.

    \b
    Examples:
      mlops report --open
      mlops report report.md
    """
    from mlops.steps import report as step

    workspace = opened(root)
    wanted = file or workspace.home / _HERE
    check(wanted)
    write(workspace, step.last(workspace), wanted)
    click.echo(str(wanted))
    if opens:
        click.launch(str(wanted))


def check(file: Path) -> None:
    """UsageError where no format has the file's suffix."""
    from mlops import reports

    reports.format_of(file)


def write(workspace: Workspace, report: Report, file: Path) -> None:
    """Write the report with its plots and tables in the format of the file's suffix."""
    from mlops import reports
    from mlops.adapters.files import disk_errors
    from mlops.steps.report import shown

    text = reports.format_of(file)(report, shown(workspace, report))
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
