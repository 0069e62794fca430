"""`mlops override`."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, opened, project, why
from mlops.reports.words import moment
from mlops.verdict import Override, Record


@click.command("override", short_help=SUMMARIES["override"])
@click.argument("gate", required=False)
@click.option("--until", metavar="DATE", help="The last day on which it holds (UTC), 90 days from now at most.")
@click.option("--for", "subject", default="", metavar="NAME", help="One model, family, feature or source; else all.")
@click.option("--end", "ends", is_flag=True, help="End it now.")
@click.option("--list", "lists", is_flag=True, help="Show what is overridden, and what was.")
@why
@as_json
@project
def command(
    gate: str | None,
    until: str | None,
    subject: str,
    ends: bool,  # noqa: FBT001 - click passes flags so
    lists: bool,  # noqa: FBT001
    reason: str,
    as_json: bool,  # noqa: FBT001
    root: Path,
) -> None:
    """Let a gate's "no" pass for a while, with a reason.

    GATE is a check (`model.champion`) or a whole gate (`check-model`). The ledger keeps who did it, when, why and
    until when; every report of a run that needed it says so. It ends by itself.

    \b
    Examples:
      mlops override model.champion --for fraud --until 2026-12-24 --reason "the champion learnt from a leak"
      mlops override model.champion --for fraud --end
      mlops override --list
    """
    from mlops.errors import UsageError
    from mlops.steps import override as step

    if lists:
        _show(step.overrides(opened(root)), as_json=as_json)
        return
    if gate is None:
        raise UsageError("which gate?", next_step="name a check or a gate; `mlops override --list` shows what there is")
    if ends:
        _show(step.end(opened(root), gate=gate, subject=subject, reason=reason), as_json=as_json)
        return
    if until is None:
        raise UsageError("an override needs its last day", next_step="give one: --until YEAR-MONTH-DAY")
    done = step.override(opened(root), gate=gate, subject=subject, until=until, reason=reason)
    _show(done, as_json=as_json)


def _show(record: Record, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(record.facts)).decode())
        return
    one = record.facts.get("override")
    if one is not None:
        click.echo(_named(one) + (" is no longer overridden" if one.ended else f" is overridden until {one.until}"))
        return
    for title, found in (("in force", record.facts["in_force"]), ("over", record.facts["over"])):
        click.secho(title, bold=True)
        for each in found:
            until = "ended" if each.ended else f"until {each.until}"
            why = f"  ({each.reason})" if each.reason else ""
            click.echo(f"  {_named(each):<32} {until:<16}  by {each.who}, {moment(each.at)}{why}")
        if not found:
            click.echo("  none")


def _named(override: Override) -> str:
    return f"{override.gate} for {override.subject}" if override.subject else override.gate
