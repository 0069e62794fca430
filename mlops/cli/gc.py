"""`mlops gc`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, opened, project
from mlops.reports.words import bytes_of, counted

_SHOWN = 20


@click.command("gc", short_help=SUMMARIES["gc"])
@click.option(
    "--days", type=click.FloatRange(0), default=30.0, show_default=True, help="What was used since then stays."
)
@click.option("--shared", is_flag=True, help="Of the team's store, not of this machine.")
@click.option("--yes", "agreed", is_flag=True, help="Do it; else it is only said, or asked on a terminal.")
@as_json
@project
def command(days: float, shared: bool, agreed: bool, as_json: bool, root: Path) -> None:  # noqa: FBT001 - click's way
    """Remove what no release needs and nobody used lately.

    It says first what it would remove. What is live, kept for a rollback or served by a worker stays, with all that it
    was made of, and so does what those were judged against. While another command runs, nothing is removed.

    \b
    Examples:
      mlops gc
      mlops gc --days 7 --yes
      mlops gc --shared --days 90
    """
    from mlops.steps import gc, gc_shared

    step: Any = gc_shared if shared else gc
    workspace = opened(root, uses=False)
    facts = step.planned(workspace, days=days).facts
    nothing = not (facts["total"] or facts["entries"] or facts["releases"])
    if not as_json:
        _show(facts, days)
    if not agreed and not nothing and not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        agreed = click.confirm("do it?")
    if agreed and not nothing:
        facts = step.collect(workspace, days=days).facts
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    elif facts["done"]:
        click.echo(f"removed {bytes_of(facts['total'])}; {bytes_of(facts['stay'])} stay")
    elif not nothing:
        click.echo("nothing was removed; to do it: --yes")


def _show(facts: Mapping[str, Any], days: float) -> None:
    sizes, place = facts["bytes"], facts.get("place")
    where = f"in {place}: " if place else ""
    click.echo(f"{where}needed by no release, and not used for {days:g} days:")
    click.echo(f"  {counted(len(facts['releases']), 'release'):<18} {_amount(sizes.get('releases')):>9}".rstrip())
    for name in facts["releases"][:_SHOWN]:
        click.echo(f"    {name}")
    if len(facts["releases"]) > _SHOWN:
        click.echo(f"    and {len(facts['releases']) - _SHOWN} more")
    click.echo(f"  {counted(facts['objects'], 'object'):<18} {_amount(sizes['objects']):>9}")
    if "leftovers" in facts:
        click.echo(f"  {counted(facts['leftovers'], 'leftover'):<18} {_amount(sizes['leftovers']):>9}")
    of = "" if place else " of the index"
    click.echo(f"  {counted(facts['entries'], 'step')}{of}, which would be computed again if asked for")
    click.echo(f"kept, {bytes_of(facts['stay'])}:")
    for name, why in facts["kept"].items():
        click.echo(f"  {name}  {why}")
    if not facts["kept"]:
        click.echo("  no release")
    if facts.get("busy"):
        click.echo(f"{', '.join(facts['busy'])} computes: objects that no record names yet are left alone")


def _amount(size: int | None) -> str:
    return "" if size is None else bytes_of(size)
