"""`mlops sign`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, opened, project


@click.command("sign", short_help=SUMMARIES["sign"])
@click.argument("releases", nargs=-1, required=True, metavar="RELEASE…")
@as_json
@project
def command(releases: tuple[str, ...], as_json: bool, root: Path) -> None:  # noqa: FBT001 - click passes flags so
    """Sign a release, so that an environment can demand it.

    RELEASE is a name, or how one begins; several may be given. How it is signed says [tool.mlops.signing]: by a key,
    or by the identity of this job.

    \b
    Example:
      mlops sign fraud_v2-3f9c1a
    """
    from mlops.steps.sign import sign

    workspace = opened(root)
    signed = [sign(workspace, release=release).facts for release in releases]
    if as_json:
        click.echo(json.dumps([dict(facts) for facts in signed], indent=2))
        return
    for facts in signed:
        click.echo(f"{facts['release']} signed by {facts['by']}: {facts['signature']}")
