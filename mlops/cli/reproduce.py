"""`mlops reproduce`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, opened, project

_MARKS = {"same": "✓", "differs": "✗", "not recorded": "?"}


@click.command("reproduce", short_help=SUMMARIES["reproduce"])
@click.argument("release")
@click.option("--here", is_flag=True, help="In this environment, not in one made of the recorded packages.")
@as_json
@project
def command(release: str, here: bool, as_json: bool, root: Path) -> None:  # noqa: FBT001 - click's way
    """Make a release again and compare it, digest by digest.

    In a fresh checkout of its commit, in a fresh environment of the packages that it was made with, by the
    framework that it carries, from the snapshots that it names. Nothing of the project is changed.

    \b
    Examples:
      mlops reproduce fraud_v2
      mlops reproduce fraud_v2-163c --here
    """
    from mlops.steps.reproduce import reproduce

    def tell(sentence: str) -> None:
        if not as_json:
            click.echo(f"{sentence} …", err=True)

    facts = reproduce(opened(root), release=release, here=here, tell=tell).facts
    if as_json:
        click.echo(json.dumps(dict(facts), indent=2))
    else:
        for part in facts["parts"]:
            detail = f": {part['detail']}" if part["detail"] else ""
            click.echo(f"{_MARKS[part['state']]} {part['name']:<22} {part['state']}{detail}")
        for error in facts["errors"]:
            click.echo(f"✗ {error}")
        said = "is identical" if facts["identical"] else "is not identical; the first that differs is the cause"
        click.echo(f"{facts['release']} {said}")
    if not facts["identical"]:
        sys.exit(1)
