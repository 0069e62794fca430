"""`mlops sign`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, opened, project


@click.command("sign", short_help=SUMMARIES["sign"])
@click.argument("release")
@as_json
@project
def command(release: str, as_json: bool, root: Path) -> None:  # noqa: FBT001 - click passes flags so
    """Sign a release, so that an environment can demand it.

    RELEASE is a name, or how one begins. How it is signed says [tool.mlops.signing]: by a key, or by the identity
    of this job.

    \b
    Example:
      mlops sign fraud_v2-3f9c1a
    """
    from mlops.steps.sign import sign

    facts = sign(opened(root), release=release).facts
    if as_json:
        click.echo(json.dumps(dict(facts), indent=2))
    else:
        click.echo(f"{facts['release']} signed by {facts['by']}: {facts['signature']}")
