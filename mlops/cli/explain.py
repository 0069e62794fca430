"""`mlops explain`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, complete_environments, opened, project
from mlops.verdict import KEYED

if TYPE_CHECKING:
    from mlops.explaining import Why

_SAME = "nothing that any step is made of has changed"


@click.command("explain", short_help=SUMMARIES["explain"])
@click.argument("step", type=click.Choice(KEYED), required=False)
@click.argument("subject", required=False)
@click.option(
    "--to",
    "environment",
    default="staging",
    show_default=True,
    shell_complete=complete_environments,
    help="The environment whose champion a model is compared with.",
)
@as_json
@project
def command(step: str | None, subject: str | None, environment: str, as_json: bool, root: Path) -> None:  # noqa: FBT001
    """Say why a step will run, or be reused.

    Names what has changed, from what to what: the function and its file, a package's version, a parameter, a table.
    SUBJECT is a model, a view or a source. Without STEP, all that will run. Nothing is computed.

    \b
    Examples:
      mlops explain
      mlops explain train fraud_v2
    """
    from mlops.actions.wish import Wish
    from mlops.adapters import git
    from mlops.errors import UsageError, nearest
    from mlops.explaining import explain
    from mlops.targets import chosen

    workspace = opened(root)
    chosen.environment(workspace, environment)
    models = tuple(workspace.catalog.models.values())
    wish = Wish(command="explain", models=models, until="register", environment=environment)
    every, troubles = explain(workspace, wish, dirty=git.state(workspace.root).dirty)
    for trouble in troubles:
        click.echo(f"{trouble}; only this machine was looked at", err=True)
    found = [why for why in every if step in (None, why.step) and subject in (None, why.subject)]
    if subject is not None and not found:
        known = {why.subject for why in every if step in (None, why.step) and why.subject}
        raise UsageError(f"{step} has no subject {subject!r}", next_step=nearest(subject, known))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(why) for why in found], indent=2))
        return
    _show([why for why in found if step is not None or why.place or (why.runs and not why.waits)], every)


def _show(found: list[Why], every: tuple[Why, ...]) -> None:
    if not any(why.runs for why in every):
        click.echo("nothing will run" + ("" if any(why.place for why in every) else f": {_SAME}"))
    by_name = {why.name: why for why in every}
    for why in found:
        title = f"{why.step} {why.subject}".strip()
        becomes = f"will be taken from {why.place}" if why.place else "will run" if why.runs else "is reused"
        click.secho(f"{title} {becomes}", bold=True)
        for root in _roots(why, by_name):
            for sentence in root.because:
                click.echo(f"  {sentence}" if root is why else f"  {root.name} runs first: {sentence}")


def _roots(why: Why, by_name: dict[str, Why]) -> list[Why]:
    """The task itself, or those at the beginning of what it waits for."""
    if not why.waits:
        return [why]
    return list({root.name: root for need in why.waits for root in _roots(by_name[need], by_name)}.values())
