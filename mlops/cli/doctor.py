"""`mlops doctor`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, project

_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


@click.command("doctor", short_help=SUMMARIES["doctor"])
@as_json
@project
def command(as_json: bool, root: Path) -> None:  # noqa: FBT001 - click passes flags so
    """Check this machine and project; each fault comes with its fix.

    \b
    Example:
      mlops doctor
    """
    from mlops.steps.doctor import doctor

    lines = doctor(root)
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(lines)))
    else:
        for line in lines:
            mark, colour = _MARKS[line.health]
            click.echo(f"{click.style(mark, fg=colour)} {line.what:<24} {line.found}")
            if line.fix and line.health != "ok":
                click.echo(f"    fix: {line.fix}")
    sys.exit(1 if any(line.health == "fail" for line in lines) else 0)
