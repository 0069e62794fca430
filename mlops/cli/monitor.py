"""`mlops monitor`."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
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


EVENT = "retrain"
"""The type of the `repository_dispatch` that asks for a retrain; its payload: model, environment, release, because."""


@click.command("monitor", short_help=SUMMARIES["monitor"])
@click.argument("environment", shell_complete=complete_environments)
@click.option("--model", default=None, metavar="FAMILY", help="Of one model.  [default: all that is live]")
@click.option("--request-retrain", "requests", is_flag=True, help="Ask for the retrains that are wished: on GitHub.")
@click.option("--allow-insufficient", "lenient", is_flag=True, help="Exit with 0 where too little is known: schedules.")
@report_files
@as_json
@project
def command(
    environment: str,
    model: str | None,
    requests: bool,  # noqa: FBT001 - click passes flags so
    lenient: bool,  # noqa: FBT001
    files: tuple[Path, ...],
    as_json: bool,  # noqa: FBT001
    root: Path,
) -> None:
    """Judge what is live: its health, its inputs, and its answers once labels arrive.

    A wish to retrain is no failure: the exit code stays 0, and `retrain` is true in the JSON.

    \b
    Examples:
      mlops monitor production
      mlops monitor production --report page.html
      mlops monitor production --request-retrain
    """
    from mlops.errors import NothingToDo
    from mlops.steps.monitor import wanted
    from mlops.verdict import Outcome

    workspace = opened(root)
    told = Told(as_json, files)
    try:
        report, errors = _looked(workspace, environment, model, told)
    except NothingToDo as nothing:
        if not lenient:
            raise
        _tell_nothing(nothing.message, told)
        return
    wishes = wanted(report)
    asked, refused = _requested(workspace, wishes) if requests else ([], [])
    errors = (*errors, *refused)  # a request that fails must not take the report along
    _tell(workspace, report, errors, wishes, told, asked)
    if not (lenient and report.outcome is Outcome.INSUFFICIENT and not errors):
        leave(report, errors)


def _requested(workspace: Workspace, wishes: tuple[Wanted, ...]) -> tuple[list[str], list[MlopsError]]:
    """What was said to each wish, and the errors of those that could not be told."""
    from mlops.errors import MlopsError

    said: list[str] = []
    failed: list[MlopsError] = []
    for wish in wishes:
        try:
            said.append(_request(workspace, wish))
        except MlopsError as error:
            failed.append(error)
    return said, failed


def _request(workspace: Workspace, wish: Wanted) -> str:
    """Ask GitHub for a retrain, unless one runs, rests or waits for a person; elsewhere say how to do it here."""
    from mlops.adapters.github.api import client
    from mlops.adapters.github.pulls import dispatch
    from mlops.errors import OutsideError
    from mlops.steps.retrain import look, reason_of

    said = look(workspace, wish.environment, wish.family)
    if said.say != "go":
        return f"no retrain of {wish.family} was asked for: {said.why}"
    reason = reason_of(wish.reason, workspace.root)
    payload = {"model": wish.family, "environment": wish.environment, "release": wish.release, "because": reason}
    if not in_actions.here():
        words = ["mlops", "retrain", wish.family, "--to", wish.environment, "--because", reason]
        return f"on GitHub this dispatches `{EVENT}`; here: {shlex.join(words)}"
    github = client()
    if github is None:
        raise OutsideError(
            "nobody can ask for a retrain: this job has no token",
            next_step="give the step `env: GITHUB_TOKEN: ${{ github.token }}`",
        )
    with github:
        dispatch(github, EVENT, payload)
    return f"a retrain of {wish.family} was asked for: `{EVENT}`"


def _looked(
    workspace: Workspace, environment: str, family: str | None, told: Told
) -> tuple[Report, tuple[MlopsError, ...]]:
    from mlops.actions.wish import Wish
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


def _tell_nothing(said: str, told: Told) -> None:
    """That nothing was ever live there: a schedule may begin before the first deployment, and is told so each time."""
    plain = {"retrain": False, "wishes": [], "asked": [], "said": said}
    click.echo(json.dumps(plain, indent=2) if told.as_json else said)
    in_actions.summary(f"> {said}\n")
    in_actions.outputs(retrain="false", reason="")


def _tell(
    workspace: Workspace,
    report: Report,
    errors: tuple[MlopsError, ...],
    wishes: tuple[Wanted, ...],
    told: Told,
    asked: Sequence[str],
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
        for said in asked:
            click.echo(f"         {said}")
    elif not unexplained(report, errors):
        plain = {
            "retrain": bool(wishes),
            "wishes": [w.plain() for w in wishes],
            "asked": list(asked),
            **as_json.plain(report),
        }
        click.echo(json.dumps(plain, indent=2, default=str))
    for file in told.files:
        write(workspace, report, file)
    in_actions.tell(workspace, report, errors if not unexplained(report, errors) else ())
    in_actions.outputs(retrain="true" if wishes else "false", reason="; ".join(wish.reason for wish in wishes))
