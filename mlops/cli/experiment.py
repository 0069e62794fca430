"""`mlops experiment`: the group; each verb is a command of its own below."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from mlops.cli.group import SUMMARIES
from mlops.cli.moves import tell_the_ledger
from mlops.cli.options import as_json, complete_environments, opened, project, why
from mlops.cli.trials import DURATION, SHARE
from mlops.reports.words import MARKS

if TYPE_CHECKING:
    from mlops.errors import MlopsError
    from mlops.release import Manifest
    from mlops.verdict import Finding, Record

_environment = click.argument("environment", shell_complete=complete_environments)
_family = click.option("--model", "family", default=None, help="Which family, where there are several.")


@click.group("experiment", short_help=SUMMARIES["experiment"])
def command() -> None:
    """Compare a challenger with the live release by what came of their answers.

    The challenger answers its share of the entities for days. When outcomes have arrived, a look says promote, stop,
    go on or insufficient; it may look as often as it likes.

    \b
    Examples:
      mlops experiment start production fraud_v3-3f9c1a --effect 1% --for 21d
      mlops experiment look production
      mlops experiment look production --promote
      mlops experiment stop production --reason "a holiday"
    """


@command.command("start")
@_environment
@click.argument("release")
@click.option("--effect", type=SHARE, required=True, help="The least difference that matters: 1%, or 2.5 of an amount.")
@click.option("--metric", default="error", show_default=True, help="error, or a column of the outcomes: its mean.")
@click.option("--higher", is_flag=True, help="More of that column is better.  [default: less]")
@click.option("--share", type=SHARE, default="50%", show_default=True, help="Of the entities, for the challenger.")
@click.option("--for", "duration", type=DURATION, default="14d", show_default=True, help="How long it answers them.")
@click.option("--level", type=SHARE, default="5%", show_default=True, help="Equal challengers that may be told apart.")
@click.option("--power", type=SHARE, default="80%", show_default=True, help="Better ones that are to be found.")
@click.option("--baseline", type=SHARE, default=None, help="The live release's error, where no outcome tells it.")
@click.option("--spread", type=float, default=None, help="The standard deviation of one value, likewise.")
@click.option("--dry-run", is_flag=True, help="Say what it would take, and begin nothing.")
@why
@as_json
@project
def start(
    environment: str,
    release: str,
    effect: float,
    metric: str,
    higher: bool,  # noqa: FBT001 - click passes flags so
    share: float,
    duration: float,
    level: float,
    power: float,
    baseline: float | None,
    spread: float | None,
    dry_run: bool,  # noqa: FBT001 - click passes flags so
    reason: str,
    as_json: bool,  # noqa: FBT001 - click passes flags so
    root: Path,
) -> None:
    """Say the sample it takes, and begin.

    Refused where the time does not bring enough outcomes, or nobody knows what to expect.

    \b
    Example:
      mlops experiment start production fraud_v3-3f9c1a --effect 1% --for 21d
    """
    from mlops.adapters.index import Index
    from mlops.cli.deploy import compute
    from mlops.publishing import publish_features
    from mlops.samples import Plan
    from mlops.steps.experiment import start as begin

    workspace = opened(root)
    index = Index(workspace.home / "index.db")

    def prepare(manifest: Manifest, online: Path) -> None:
        publish_features(workspace, index, manifest, online, build=lambda views: compute(workspace, views))

    plan = Plan(
        effect=effect,
        metric=metric,
        better="higher" if higher else "lower",
        share=share,
        seconds=duration,
        level=level,
        power=power,
        baseline=baseline,
        spread=spread,
    )
    record = begin(
        workspace,
        environment=environment,
        release=release,
        plan=plan,
        reason=reason,
        prepare=prepare,
        only_say=dry_run,
    )
    click.echo(json.dumps(dict(record.facts), indent=2) if as_json else _stated(record))


@command.command("look")
@_environment
@_family
@click.option("--promote", is_flag=True, help="Bring the challenger live where it is better.")
@as_json
@project
def look(
    environment: str,
    family: str | None,
    promote: bool,  # noqa: FBT001 - click passes flags so
    as_json: bool,  # noqa: FBT001 - click passes flags so
    root: Path,
) -> None:
    """Say what is known now; end it where that is enough.

    Exit code 0: promote, or go on; 1: it was stopped; 7: it is over, and nothing can be told.

    \b
    Example:
      mlops experiment look production --promote
    """
    from mlops.steps.experiment import look as judge

    workspace = opened(root)
    record = judge(workspace, environment=environment, family=family, promote=promote)
    failure = _failure(record)
    if as_json:
        findings = msgspec.to_builtins(record.verdict.findings) if record.verdict else []
        told = {"error": failure.message, "next": failure.next_step} if failure else {}
        click.echo(json.dumps({**record.facts, **told, "findings": findings}, indent=2))
    else:
        click.echo(_looked(record))
    tell_the_ledger(workspace, environment)
    if failure is not None and as_json:
        sys.exit(failure.exit_code)  # raised, it would be told twice
    if failure is not None:
        raise failure


@command.command("stop")
@_environment
@_family
@why
@as_json
@project
def stop(environment: str, family: str | None, reason: str, as_json: bool, root: Path) -> None:  # noqa: FBT001
    """End it by hand: the live release answers all requests.

    \b
    Example:
      mlops experiment stop production --reason "a holiday"
    """
    from mlops.steps.experiment import stop as end

    workspace = opened(root)
    record = end(workspace, environment=environment, family=family, reason=reason)
    facts = record.facts
    said = f"{environment}: the experiment with {facts['challenger']} was ended; {facts['live']} answers all requests"
    click.echo(json.dumps(dict(facts), indent=2) if as_json else said)
    tell_the_ledger(workspace, environment)


def _stated(record: Record) -> str:
    facts = record.facts
    days = facts["days_needed"]
    at = f", {days:.1f} days at {facts['labels_a_day']:,.0f} a day" if days is not None else ""
    base = f" from {_number(facts['baseline'])}" if facts["baseline"] is not None else ""
    begun = "it runs" if facts["begun"] else "it would run"
    unlike = f"; requests of one entity are alike: {facts['inflation']} times as many" if facts["inflation"] > 1 else ""
    effect = f"{facts['metric']} {facts['better']} by {_number(facts['effect'])}{base}"
    sample = (
        f"{facts['needed_challenger']:,} outcomes of the challenger and {facts['needed_live']:,} of the live release"
    )
    chances = f"in {facts['power']:.0%} of such cases; wrongly in {facts['level']:.0%} at most, however often looked at"
    delay = f"outcomes count {facts['label_delay_days']:g} days after their decision"
    lines = [
        f"{facts['environment']}: {facts['challenger']} beside {facts['live']}, {facts['share']:.0%} of the entities",
        f"  to tell   {effect}, {chances}",
        f"  it takes  {sample}{at}{unlike}",
        f"  {begun} for {facts['days']:g} days; {delay}",
    ]
    return "\n".join(lines)


def _looked(record: Record) -> str:
    facts = record.facts
    days = f"after {facts['days']:.1f} of {facts['days_planned']:g} days"
    ours = f"{facts['labels_challenger']:,} of {facts['needed_challenger']:,} outcomes of {facts['challenger']}"
    said = "promoted" if facts["said"] == "promote" and facts["ended"] else facts["said"]
    lines = [
        f"{facts['environment']}: {said}, {days}",
        f"  {ours}, {facts['labels_live']:,} of {facts['needed_live']:,} beside it",
    ]
    findings = [one for one in record.verdict.findings if _telling(one)] if record.verdict else []
    lines += [f"  {MARKS[one.outcome]} {one.check:<22} {one.message}" for one in findings]
    if facts["said"] == "promote" and not facts["ended"]:
        lines.append(f"  bring it live: mlops experiment look {facts['environment']} --promote")
    return "\n".join([*lines, f"  live: {facts['live']}"])


def _telling(finding: Finding) -> bool:
    """Whether a person reads it: what compares the arms, and what fired."""
    return finding.fired or finding.check.startswith(("experiment.", "canary.")) or finding.check == "outcomes.joined"


def _failure(record: Record) -> MlopsError | None:
    from mlops.errors import GateFailed, InsufficientEvidence

    facts, verdict = record.facts, record.verdict
    step = next((one.next_step for one in verdict.fired if one.next_step), "") if verdict else ""
    serves = f"{facts['live']} answers all requests"
    if facts["said"] == "stop":
        return GateFailed(f"the experiment with {facts['challenger']} was stopped; {serves}", next_step=step)
    if facts["said"] == "insufficient":
        return InsufficientEvidence(f"it is over, and nothing can be told; {serves}", next_step=step)
    return None


def _number(value: Any) -> str:
    return f"{value:.4g}"
