"""How a canary or a shadow is asked for and watched on a terminal, and how its end becomes an exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import msgspec

from mlops.cli import in_actions
from mlops.cli.moves import tell_the_ledger
from mlops.reports.words import MARKS, seconds

if TYPE_CHECKING:
    from mlops.errors import MlopsError
    from mlops.judging import Look, Plan
    from mlops.targets.protocol import Prepare
    from mlops.verdict import Record
    from mlops.workspace import Workspace

    Trial = Callable[[Workspace, str, Callable[[Look], None]], Record]

_MOST_SECONDS = 86_400.0  # where only a number of requests is asked for


class _Share(click.ParamType[float]):
    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """A share such as 10% or 0.1, as a number."""
        text = str(value).strip()
        try:
            return float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
        except ValueError:
            self.fail(f"{text!r} is not a share such as 10% or 0.1", param, ctx)


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """A duration such as 10m, in seconds."""
        from mlops.declare import duration

        if isinstance(value, float):
            return value
        try:
            return duration(str(value)).total_seconds()
        except ValueError as error:
            self.fail(str(error), param, ctx)


SHARE, DURATION = _Share(), _Duration()


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial to begin."""

    release: str
    plan: Plan
    reason: str
    prepare: Prepare

    def __call__(self, workspace: Workspace, environment: str, tell: Callable[[Look], None]) -> Record:
        """Begin it, and watch it to its end."""
        from mlops.steps.deploy import try_out

        return try_out(
            workspace,
            environment=environment,
            release=self.release,
            plan=self.plan,
            reason=self.reason,
            prepare=self.prepare,
            tell=tell,
        )


@dataclass(frozen=True, slots=True)
class Resumed:
    """A trial to go on with."""

    family: str | None
    seconds: float | None

    def __call__(self, workspace: Workspace, environment: str, tell: Callable[[Look], None]) -> Record:
        """Watch it to its end."""
        from mlops.steps.deploy import resume

        return resume(workspace, environment=environment, family=self.family, seconds=self.seconds, tell=tell)


def planned(share: float | None, duration: float | None, requests: int | None) -> Plan:
    """The plan that the options ask for; a shadow where there is no share."""
    from mlops.judging import Plan

    period = duration or (_MOST_SECONDS if requests else 600.0)
    if share is None:
        return Plan(kind="shadow", seconds=period, requests=requests)
    return Plan(share=share, seconds=period, requests=requests)


def watch(
    workspace: Workspace,
    environment: str,
    trial: Trial,
    *,
    as_json: bool,
    ended: Callable[[Record], None] = lambda _: None,
) -> None:
    """Watch a trial and print how it ended; raises what a machine reads as exit 5 (rolled back) or 7 (held)."""
    live = not as_json and sys.stderr.isatty()

    def tell(look: Look) -> None:
        if live:
            click.echo(f"\r\x1b[K{_line(look)}", nl=False, err=True)

    record = trial(workspace, environment, tell)
    if live:
        click.echo("\r\x1b[K", nl=False, err=True)
    in_actions.tell_moved(record)
    ended(record)
    failure = _failure(record)
    if as_json:
        verdict = msgspec.to_builtins(record.verdict.findings) if record.verdict else []
        told = {"error": failure.message, "next": failure.next_step} if failure else {}
        click.echo(json.dumps({"seconds": record.seconds, **record.facts, **told, "findings": verdict}, indent=2))
    else:
        _show(record)
    tell_the_ledger(workspace, environment)
    if failure is not None and as_json:
        sys.exit(failure.exit_code)  # raised, it would be told twice
    if failure is not None:
        raise failure


def _line(look: Look) -> str:
    marks = " ".join(f"{MARKS[one.outcome]} {one.check.partition('.')[2]}" for one in look.findings)
    return (
        f"{look.kind} {look.release}: {seconds(look.seconds)} of {seconds(look.of)}, {look.requests} requests  {marks}"
    )


def _show(record: Record) -> None:
    facts = record.facts
    for sentence in facts.get("mended", ()):
        click.echo(f"note: {sentence}", err=True)
    if "outcome" not in facts:
        click.echo(f"{facts['environment']}: {facts['release']} is live already")
        return
    told = f"{facts['environment']}: {facts['tried']} {facts['outcome']} after {seconds(record.seconds)}"
    if facts["kind"] == "canary":  # a shadow's requests are the live release's own
        told += f", {facts['requests']} requests beside {facts['live_requests']} of the live release"
    click.echo(told)
    for one in record.verdict.findings if record.verdict else ():
        click.echo(f"  {MARKS[one.outcome]} {one.check:<20} {one.message}")
    click.echo(f"  live: {facts['release']}")


def _failure(record: Record) -> MlopsError | None:
    """What a trial that did not bring its release live ends with; None where it did, or a shadow failed nothing."""
    from mlops.errors import DeploymentFailed, InsufficientEvidence
    from mlops.verdict import Outcome

    facts, verdict = record.facts, record.verdict
    outcome, serves = facts.get("outcome"), f"{facts['release']} serves"
    step = next((one.next_step for one in verdict.fired if one.next_step), "") if verdict else ""
    if outcome == "rolled back":
        return DeploymentFailed(f"{facts['tried']} was rolled back; {serves}", next_step=step)
    if outcome == "ended":
        step = f"see who and why: `mlops status {facts['environment']}`"
        return DeploymentFailed(f"{facts['tried']} was ended by somebody else; {serves}", next_step=step)
    if outcome == "compared" and verdict is not None and verdict.outcome is Outcome.FAIL:
        return DeploymentFailed(f"the shadow {facts['tried']} failed; {serves}", next_step=step)
    if outcome == "held" or (verdict is not None and verdict.outcome is Outcome.INSUFFICIENT):
        return InsufficientEvidence(f"too little was seen to tell; {serves}", next_step=step)
    return None
