"""`mlops report`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import opened, project
from mlops.errors import NothingToDo, UsageError

if TYPE_CHECKING:
    from mlops.reports.words import Shown
    from mlops.verdict import Report
    from mlops.workspace import Workspace

_HERE = "report.html"


@click.command("report", short_help=SUMMARIES["report"])
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--open", "opens", is_flag=True, help="Show it in the browser.")
@click.option("--comment", is_flag=True, help="In Actions: one comment on the pull request, a status for each gate.")
@click.option(
    "--merge",
    "places",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Of these reports in JSON, or all in a folder, instead of the last; as often as wanted.",
)
@click.option(
    "--expect", "expected", multiple=True, metavar="MODEL", help="With --merge: it has not run if none has it."
)
@click.option("--verdict", "judges", is_flag=True, help="Leave with the exit code of the report's verdict.")
@project
def command(
    file: Path | None,
    opens: bool,  # noqa: FBT001 - click passes flags so
    comment: bool,  # noqa: FBT001
    places: tuple[Path, ...],
    expected: tuple[str, ...],
    judges: bool,  # noqa: FBT001
    root: Path,
) -> None:
    """Write what the last run found as a page, or tell it to a pull request.

    The suffix of FILE chooses the format: .html, .md, .json or .txt. Without FILE the page is .mlops/report.html.
    --expect takes a JSON list of names too, such as the output `models` of `mlops plan`.

    \b
    Examples:
      mlops report --open
      mlops report report.md
      mlops report --merge reports/ --expect fraud_v2 --comment --verdict
    """
    workspace = opened(root)
    wanted = file or (None if comment else workspace.home / _HERE)
    if wanted:
        check(wanted)
    try:
        report, shown = _asked_for(workspace, places, expected)
    except NothingToDo:
        if not comment or not _untouched(workspace):
            raise
        return
    if wanted:
        _put(report, shown, wanted)
        click.echo(str(wanted))
    if opens and wanted:
        click.launch(str(wanted))
    if comment:
        from mlops.cli.pull_request import publish

        publish(workspace, report, shown)
    elif places:
        from mlops.cli import in_actions
        from mlops.reports import markdown

        in_actions.summary(markdown.render(report, shown))
    if judges:
        _leave(report)


def _untouched(workspace: Workspace) -> bool:
    """Whether there is no report because nothing was affected, which is then told."""
    from mlops.cli.pull_request import publish_untouched

    return publish_untouched(workspace)


def _asked_for(workspace: Workspace, places: tuple[Path, ...], expected: tuple[str, ...]) -> tuple[Report, Shown]:
    """The last report, or those of several jobs as one, which is then the last."""
    from mlops.steps import report as step

    if not places and expected:
        raise UsageError("--expect is for --merge", next_step="say where the reports of the jobs are: --merge FOLDER")
    if not places:
        report = step.last(workspace)
        return report, step.shown(workspace, report)
    return step.merged(places, tuple(name for text in expected for name in _names(text)))


def _names(text: str) -> list[str]:
    """The names of a JSON list, or those that blanks separate."""
    import msgspec

    if not text.startswith("["):
        return text.split()
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.MsgspecError as error:
        raise UsageError(f"--expect {text}: {error}", next_step="give a name, or a JSON list of names") from None


def _leave(report: Report) -> None:
    from mlops.cli.stage import CODES
    from mlops.errors import OutsideError

    code = CODES[report.outcome] or (OutsideError.exit_code if report.errors else 0)
    if code:
        sys.exit(code)


def check(file: Path) -> None:
    """UsageError where no format has the file's suffix."""
    from mlops import reports

    reports.format_of(file)


def write(workspace: Workspace, report: Report, file: Path) -> None:
    """Write the report with its plots and tables in the format of the file's suffix."""
    from mlops.steps.report import shown

    _put(report, shown(workspace, report), file)


def _put(report: Report, shown: Shown, file: Path) -> None:
    from mlops import reports
    from mlops.adapters.files import disk_errors

    text = reports.format_of(file)(report, shown)
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
