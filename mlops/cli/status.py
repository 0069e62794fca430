"""`mlops status`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, complete_environments, opened, project
from mlops.reports.words import age, counted, moment, seconds


@click.command("status", short_help=SUMMARIES["status"])
@click.argument("environments", nargs=-1, metavar="[ENVIRONMENT]…", shell_complete=complete_environments)
@click.option("--rows", type=click.IntRange(1), default=10, show_default=True, help="Events to show.")
@as_json
@project
def command(environments: tuple[str, ...], rows: int, as_json: bool, root: Path) -> None:  # noqa: FBT001 - click's way
    """Show what is live where, since when and by whom, what runs, and how fresh its features are.

    \b
    Example:
      mlops status production
    """
    from mlops.steps.status import status

    workspace = opened(root)
    names = environments or tuple(workspace.config.environments)
    records = [status(workspace, environment=name, rows=rows) for name in names]
    if as_json:
        click.echo(json.dumps([dict(record.facts) for record in records], indent=2, default=str))
        return
    for record in records:
        families: list[Mapping[str, Any]] = list(record.facts["families"])
        click.secho(str(record.facts["environment"]), bold=True)
        if not families:
            click.echo("  nothing has been deployed here")
        for family in families:
            _show(family)
        _show_views(record.facts["views"])


def _show(family: Mapping[str, Any]) -> None:
    standing, health = family["standing"], family["health"]
    click.echo(f"  live      {standing['live']}  since {moment(standing['since'])} by {standing['who']}")
    if standing["reason"]:
        click.echo(f"  why       {standing['reason']}")
    for gate, said in family["overridden"].items():
        click.echo(f"  {gate} {said}")
    click.echo(f"  previous  {standing['previous'] or 'none'}")
    for trial in family["trials"]:
        click.echo(f"  {trial['kind']:<9} {_trial(trial)}")
    click.echo(f"  server    {_server(health)}")
    for trouble in (health.get("troubles") or {}).values():
        click.echo(f"  refused   {trouble}")
    click.echo("  history")
    for event in family["history"]:
        why = f"  ({event['reason']})" if event["reason"] else ""
        outcome = "" if event["outcome"] == "done" else f"  {event['outcome']}"
        click.echo(f"    {moment(event['at'])}  {event['action']:<8} {event['to']}  by {event['who']}{why}{outcome}")


def _trial(trial: Mapping[str, Any]) -> str:
    share = f"  {trial['share']:.0%} of the entities" if trial["kind"] != "shadow" else ""
    begun = f"{trial['release']}{share}  since {moment(trial['since'])} by {trial['who']}"
    if trial["judge"] is not None:
        return f"{begun}, {seconds(trial['spent'])} of {seconds(trial['seconds'])}, judged by process {trial['judge']}"
    if trial["kind"] == "experiment":
        days = f"{trial['seconds'] / 86_400:g} days"
        return f"{begun}, for {days}\n            see what is known: `mlops experiment look ENV`"
    why = f"held: {trial['held']}" if trial["held"] else "its deployer died"
    return f"{begun}\n            {why}; go on: `mlops deploy ENV --resume`, end it: `mlops rollback ENV`"


def _show_views(views: Sequence[Mapping[str, Any]]) -> None:
    if views:
        click.echo("  features")
    width = max((len(view["view"]) for view in views), default=0)
    for view in views:
        newest = "no row" if view["newest"] is None else f"newest {age(view['age_seconds'])} old"
        gone = "" if view["expired"] is None else f", {view['expired']:.0%} expired"
        entities = f"{view['entities']:,} of {view['entity']}"
        click.echo(f"    {view['view']:<{width}}  {entities}, {newest}{gone}, published {moment(view['published'])}")


def _server(health: Mapping[str, Any]) -> str:
    if not health["running"]:
        return "not running"
    told = "ready" if health["ready"] else "not ready"
    if health["address"]:
        told += f" at {health['address']}"
    if health["pid"] is None:  # elsewhere: what runs there is no process of ours
        return told
    return f"{told} (process {health['pid']}, {counted(len(health['serving'] or {}), 'worker')})"
