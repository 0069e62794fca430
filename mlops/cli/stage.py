"""The commands that take models up to one step of the pipeline: they differ in that step alone."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli import deployments, in_actions
from mlops.cli.display import Display
from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, complete_models, opened, project, report_files
from mlops.errors import (
    GateFailed,
    InsufficientEvidence,
    MlopsError,
    NothingToDo,
)
from mlops.verdict import Outcome, Report

if TYPE_CHECKING:
    from mlops.idle import Asked
    from mlops.workspace import Workspace

CODES = {
    Outcome.PASS: 0,
    Outcome.OVERRIDDEN: 0,
    Outcome.FAIL: GateFailed.exit_code,
    Outcome.NOT_RUN: NothingToDo.exit_code,
    Outcome.INSUFFICIENT: InsufficientEvidence.exit_code,
}


@dataclass(frozen=True, slots=True)
class Told:
    """How a report is told: as JSON on stdout, and in these files."""

    as_json: bool = False
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Aim:
    """Where an accepted release goes, and why; nowhere by itself."""

    environment: str | None = None
    reason: str = ""
    allow_dirty: bool = field(default=False, kw_only=True)
    anew: frozenset[str] = field(default=frozenset(), kw_only=True)


NOWHERE = Aim()


def stage(step: str, example: str) -> click.Command:
    """The command `mlops STEP [MODEL]…`: everything that the step needs, and the step."""

    @click.command(step, help=f"{SUMMARIES[step]}\n\n\b\nExample:\n  {example}")
    @click.argument("models", nargs=-1, metavar="[MODEL]…", shell_complete=complete_models)
    @report_files
    @as_json
    @project
    def command(
        models: tuple[str, ...],
        files: tuple[Path, ...],
        as_json: bool,  # noqa: FBT001 - click passes flags so
        root: Path,
    ) -> None:
        judge(step, models, root=root, until=step, told=Told(as_json, files))

    return command


def judge(
    name: str,
    models: tuple[str, ...],
    *,
    root: Path,
    until: str,
    told: Told,
    aim: Aim = NOWHERE,
) -> Report:
    """Run the pipeline up to a step, print the report, and leave with its exit code unless it passed."""
    from mlops import idle

    plain = not (told.as_json or told.files or aim.anew or in_actions.here())
    asked = idle.Asked(root.resolve(), name, models, until, aim.environment)
    known = idle.recall(asked) if plain else None
    if known is not None:
        _again(asked, known)
        return known
    before = idle.scene(asked)
    workspace, report, errors = _run(name, models, root=root, until=until, told=told, aim=aim)
    _tell(workspace, report, errors, told)
    leave(report, errors)
    idle.remember(asked, workspace, before, report)
    return report


def _again(asked: Asked, report: Report) -> None:
    """Tell of a run that has nothing to do what it told the last time."""
    from mlops.reports import text
    from mlops.steps.report import keep_in

    keep_in(asked.home, report)
    with Display() as display:
        for record in report.records:
            display.finished(record)
    click.echo(text.render(report, width=_width()))


def _run(
    name: str, models: tuple[str, ...], *, root: Path, until: str, told: Told, aim: Aim
) -> tuple[Workspace, Report, tuple[MlopsError, ...]]:
    from mlops.actions.wish import Wish
    from mlops.cli.report import check
    from mlops.running import run
    from mlops.steps.report import begin
    from mlops.targets import chosen as targets

    workspace = opened(root)
    for file in told.files:
        check(file)
        file.unlink(missing_ok=True)  # an earlier report must not be taken for this run's
    begin(workspace)
    if aim.environment is not None:
        targets.environment(workspace, aim.environment)  # a misspelt name is told before anything is computed
    catalog = workspace.catalog
    chosen = tuple(catalog.model(m) for m in models) or tuple(v[-1] for v in catalog.families().values())
    wish = Wish(
        command=name,
        models=chosen,
        until=until,
        environment=aim.environment,
        reason=aim.reason,
        allow_dirty=aim.allow_dirty,
        anew=aim.anew,
    )
    with Display(quiet=told.as_json) as display:
        report, errors = run(workspace, wish, display)
    return workspace, report, errors


def _tell(workspace: Workspace, report: Report, errors: tuple[MlopsError, ...], told: Told) -> None:
    """Print the report, keep it for `mlops report`, and write it where that is wanted."""
    from mlops.cli.report import write
    from mlops.reports import as_json, text
    from mlops.steps.report import keep

    keep(workspace, report)
    if not told.as_json:
        click.echo(text.render(report, width=_width()))
    elif not unexplained(report, errors):
        click.echo(as_json.render(report))
    for file in told.files:
        write(workspace, report, file)
    in_actions.tell(workspace, report, errors if not unexplained(report, errors) else ())
    deployments.tell_all(workspace, report)


def _width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0  # a log is searched by its lines


def leave(report: Report, errors: tuple[MlopsError, ...]) -> None:
    """Raise the first error; else exit with the code of the worst verdict, unless all passed.

    A gate's "no" comes before an error of a later step, which it may well explain.
    """
    if unexplained(report, errors):
        raise errors[0]
    for sentence in dict.fromkeys(str(error) for error in errors):
        click.echo(f"also: {sentence}", err=True)
    code = CODES[report.outcome]
    if code:
        sys.exit(code)


def unexplained(report: Report, errors: tuple[MlopsError, ...]) -> bool:
    """Whether there are errors, and no gate has said no before them."""
    return bool(errors) and CODES[report.outcome] in (0, NothingToDo.exit_code)
