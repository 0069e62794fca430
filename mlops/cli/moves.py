"""What deploy and rollback share: the line on what moved, and telling the ledger about it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import click

from mlops.cli import in_actions
from mlops.reports.words import counted, seconds
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.workspace import Workspace


def show(record: Record, *, as_json: bool) -> None:
    """Print what moved from where to where."""
    in_actions.tell_moved(record)
    facts = record.facts
    if as_json:
        click.echo(json.dumps({"seconds": record.seconds, **facts}, indent=2))
        return
    for sentence in facts.get("mended", ()):
        click.echo(f"note: {sentence}", err=True)
    for ended in facts.get("ended", ()):
        click.echo(f"{facts['environment']}: the trial of {ended} was ended; {facts['release']} answers all requests")
    if facts.get("ended") and not facts["changed"]:
        return
    if not facts["changed"]:
        click.echo(f"{facts['environment']}: {facts['release']} is live already")
        return
    before = facts.get("from") or facts.get("previous") or "nothing"
    moved = f"{facts['environment']}: {facts['release']} is live (before: {before})"
    click.echo(f"{moved} in {seconds(record.seconds)}{_followed(facts['workers'])}")


def _followed(workers: int | None) -> str:
    """Who took the release over; nothing where the place does not tell."""
    if workers is None:
        return ""
    return f", {counted(workers, 'running worker')} followed" if workers else ", no server is running"


def tell_the_ledger(workspace: Workspace, environment: str, *, patient: bool = True) -> None:
    """Write this environment's events that the ledger lacks; with `patient` off, by a process left behind.

    A ledger that is down is no reason to fail: the events stay, and are written by the next command.
    """
    if patient:
        from mlops.events import write_events

        unwritten = write_events(workspace, environment)
        if unwritten:
            click.echo(f"note: the ledger does not answer; {unwritten} events wait for it", err=True)
        return
    arguments = [sys.executable, "-m", "mlops.events", str(workspace.root), environment]
    subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
