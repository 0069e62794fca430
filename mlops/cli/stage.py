"""The commands that take models up to one step of the pipeline: they differ in that step alone."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mlops.cli.display import Display
from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, complete_models, opened, project
from mlops.errors import (
    GateFailed,
    InsufficientEvidence,
    MlopsError,
    NothingToDo,
)
from mlops.verdict import Outcome, Report

CODES = {
    Outcome.PASS: 0,
    Outcome.OVERRIDDEN: 0,
    Outcome.FAIL: GateFailed.exit_code,
    Outcome.NOT_RUN: NothingToDo.exit_code,
    Outcome.INSUFFICIENT: InsufficientEvidence.exit_code,
}


def stage(step: str, example: str) -> click.Command:
    """The command `mlops STEP [MODEL]…`: everything that the step needs, and the step."""

    @click.command(step, help=f"{SUMMARIES[step]}\n\n\b\nExample:\n  {example}")
    @click.argument("models", nargs=-1, metavar="[MODEL]…", shell_complete=complete_models)
    @as_json
    @project
    def command(models: tuple[str, ...], as_json: bool, root: Path) -> None:  # noqa: FBT001 - click passes flags so
        judge(step, models, root=root, until=step, machine=as_json)

    return command


def judge(
    name: str,
    models: tuple[str, ...],
    *,
    root: Path,
    until: str,
    machine: bool,
    environment: str | None = None,
    reason: str = "",
) -> Report:
    """Run the pipeline up to a step, print the report, and leave with its exit code unless it passed."""
    from mlops import reports
    from mlops.actions import Wish
    from mlops.running import run
    from mlops.targets import chosen as targets

    workspace = opened(root)
    if environment is not None:
        targets.environment(workspace, environment)  # a misspelt name is told before anything is computed
    catalog = workspace.catalog
    chosen = tuple(catalog.model(m) for m in models) or tuple(v[-1] for v in catalog.families().values())
    wish = Wish(command=name, models=chosen, until=until, environment=environment, reason=reason)
    with Display(quiet=machine) as display:
        report, errors = run(workspace, wish, display)
    if not (machine and _unexplained(report, errors)):
        click.echo(reports.FORMATS["json" if machine else "text"](report))
    leave(report, errors)
    return report


def leave(report: Report, errors: tuple[MlopsError, ...]) -> None:
    """Raise the first error; else exit with the code of the worst verdict, unless all passed.

    A gate's "no" comes before an error of a later step, which it may well explain.
    """
    if _unexplained(report, errors):
        raise errors[0]
    for sentence in dict.fromkeys(str(error) for error in errors):
        click.echo(f"also: {sentence}", err=True)
    code = CODES[report.outcome]
    if code:
        sys.exit(code)


def _unexplained(report: Report, errors: tuple[MlopsError, ...]) -> bool:
    """Whether there are errors, and no gate has said no before them."""
    return bool(errors) and CODES[report.outcome] in (0, NothingToDo.exit_code)
