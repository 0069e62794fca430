"""`mlops lineage`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, opened, project
from mlops.reports.words import moment, number

_DIGEST = 64


@click.command("lineage", short_help=SUMMARIES["lineage"])
@click.argument("release")
@as_json
@project
def command(release: str, as_json: bool, root: Path) -> None:  # noqa: FBT001 - click passes flags so
    """Show what a release was made of, and where it was live.

    RELEASE is a name, or how one begins.

    \b
    Example:
      mlops lineage fraud_v2
    """
    from mlops.steps.lineage import lineage

    facts = lineage(opened(root), release=release).facts
    if as_json:
        click.echo(json.dumps(dict(facts), indent=2, default=str))
        return
    click.secho(str(facts["release"]), bold=True)
    up: Mapping[str, Any] = facts["up"]
    for line in _tree(up):
        click.echo(line)
    click.echo("live")
    for event in facts["down"]:
        click.echo(
            f"   {moment(event['at'])}  {event['action']} {event['environment']}: {event['to']} ({event['outcome']})"
        )


def _tree(branch: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for position, (name, value) in enumerate(branch.items(), 1):
        last = position == len(branch) and bool(indent)
        corner, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        if isinstance(value, Mapping):
            yield f"{indent}{corner}{name}" + ("" if value else ": none")
            yield from _tree(value, indent + below)
        else:
            yield f"{indent}{corner}{name}: {_short(value)}"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    text = str(value)
    return text[:12] if len(text) == _DIGEST and text.isalnum() else text
