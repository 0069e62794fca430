"""`mlops materialize`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops.cli import in_actions
from mlops.cli.display import Display
from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, complete_environments, complete_views, opened, project
from mlops.cli.stage import leave
from mlops.errors import GateFailed, MlopsError

if TYPE_CHECKING:
    from mlops.verdict import Record, Report


@click.command("materialize", short_help=SUMMARIES["materialize"])
@click.argument("views", nargs=-1, metavar="[VIEW]…", shell_complete=complete_views)
@click.option(
    "--environment",
    "environments",
    multiple=True,
    metavar="ENVIRONMENT",
    shell_complete=complete_environments,
    help="Where the values are published; as often as wanted.  [default: wherever something was deployed]",
)
@as_json
@project
def command(views: tuple[str, ...], environments: tuple[str, ...], as_json: bool, root: Path) -> None:  # noqa: FBT001 - click's way
    """Compute what is new of stored features, and publish it.

    Without VIEW, all views that declared models and retained releases read. Only parts whose rows or code are new are
    computed; what is killed goes on where it stopped.

    \b
    Examples:
      mlops materialize
      mlops materialize customer_spend_v2 --environment production
    """
    from mlops.actions.wish import Wish
    from mlops.running import run
    from mlops.steps.materialize import used, wanted
    from mlops.targets import chosen

    workspace = opened(root)
    for name in environments:
        chosen.environment(workspace, name)  # a misspelt name is told before anything is computed
    wish = Wish(
        command="materialize",
        views=wanted(workspace, views),
        until="materialize",
        environments=environments or used(workspace),
    )
    with Display(quiet=as_json) as display:
        report, errors = run(workspace, wish, display)
    in_actions.tell(workspace, report)
    facts = _facts(report)
    if as_json:
        _refuse_unexplained(report, errors)
        click.echo(json.dumps(facts, indent=2, default=str))
    else:
        _show(report, facts)
    leave(report, errors)
    _refuse_stale(facts)


def _facts(report: Report) -> dict[str, Any]:
    """What machines read: what was computed, and what is online where."""
    return {
        "outcome": report.outcome.value,
        "views": {r.subject: _of_view(r) for r in report.records if r.step == "build-features"},
        "environments": {
            r.subject: {"views": r.facts["views"], "left": r.facts["left"]}
            for r in report.records
            if r.step == "materialize"
        },
        "findings": [f.message for verdict in report.verdicts for f in verdict.fired],
    }


def _of_view(record: Record) -> dict[str, Any]:
    parts = record.facts.get("parts", {})
    return {
        "parts": parts.get("all", 1),
        "computed": 0 if record.reused else parts.get("computed", 1),
        "seconds": 0.0 if record.reused else record.seconds,
        "rows": int(record.metrics["rows"]),
        "entities": int(record.metrics["entities"]),
        "newest": record.facts["newest"],
        "note": parts.get("why", ""),
    }


def _show(report: Report, facts: dict[str, Any]) -> None:
    from mlops.reports.text import render
    from mlops.reports.words import age, counted

    if report.verdicts and any(verdict.fired for verdict in report.verdicts):
        click.echo(render(report))
    for name, view in facts["views"].items():
        known = view["parts"] - view["computed"]
        newest = f", newest {age(time.time() - view['newest'])} old" if view["newest"] is not None else ""
        click.echo(f"{name}: {counted(view['parts'], 'part')}, {view['computed']:,} computed, {known:,} known{newest}")
        if view["note"]:
            click.echo(f"  {view['note']}")
    for name, environment in facts["environments"].items():
        for view, online in environment["views"].items():
            click.echo(f"{name}: {view}, {online['entities']:,} entities online")
    if not facts["environments"] and not any(verdict.fired for verdict in report.verdicts):
        click.echo("nothing was published: nothing has been deployed yet; --environment names where to")


def _refuse_unexplained(report: Report, errors: tuple[MlopsError, ...]) -> None:
    """Raise an error that no gate's "no" explains, which is then the whole answer."""
    if errors and report.outcome.value == "pass":
        raise errors[0]


def _refuse_stale(facts: dict[str, Any]) -> None:
    """Raise where a release that is retained reads what could not be brought up to date."""
    for name, environment in facts["environments"].items():
        for view, why in environment["left"].items():
            raise GateFailed(
                f"{view} {why} since a release that {name} retains was made with it; it stays online as it is",
                next_step=f"put {view} back as it was, and write the change as a new version: `mlops check-features`",
            )
