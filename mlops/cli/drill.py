"""`mlops drill`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli import in_actions
from mlops.cli.group import SUMMARIES
from mlops.cli.moves import tell_the_ledger
from mlops.cli.options import as_json, complete_environments, opened, project

if TYPE_CHECKING:
    from mlops.verdict import Record


@click.command("drill", short_help=SUMMARIES["drill"])
@click.argument("environment", shell_complete=complete_environments)
@click.option("--model", "family", default=None, help="Which family, where there are several.")
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Times back and forth.")
@click.option("--rate", type=click.FloatRange(1, 1000), default=50.0, show_default=True, help="Requests a second.")
@click.option("--within", type=click.FloatRange(0.01), default=1.0, show_default=True, help="Seconds of a warm move.")
@as_json
@project
def command(
    environment: str,
    family: str | None,
    rounds: int,
    rate: float,
    within: float,
    as_json: bool,  # noqa: FBT001 - click passes flags so
    root: Path,
) -> None:
    """Prove on a copy that an environment can be rolled back: how fast, and what it costs those who ask.

    The copy is really served, on a free port of this machine; the environment itself is not touched.

    \b
    Example:
      mlops drill production
    """
    from mlops.errors import RollbackFailed
    from mlops.steps.drill import Exercise, drill

    workspace = opened(root)
    exercise = Exercise(rounds=rounds, rate=rate, within=within)
    record = drill(workspace, environment=environment, family=family, exercise=exercise)
    if as_json:
        click.echo(json.dumps({"seconds": record.seconds, "metrics": dict(record.metrics), **record.facts}, indent=2))
    else:
        _show(record)
    _tell(record)
    tell_the_ledger(workspace, environment)
    problems = list(record.facts["problems"])
    if problems and not as_json:
        raise RollbackFailed(
            f"{environment} cannot be counted on to roll back: {problems[0]}",
            next_step="mend that while nothing burns, then drill again",
        )
    if problems:
        click.get_current_context().exit(RollbackFailed.exit_code)


def _tell(record: Record) -> None:
    """The moves in the summary of a workflow's job, and what is wrong."""
    from mlops.reports.markdown import cell, table

    facts = record.facts
    said = "can be rolled back" if facts["passed"] else "cannot be counted on to roll back"
    moves = [[move["release"], "warm" if move["warm"] else "cold", f"{move['seconds']:.3f}"] for move in facts["moves"]]
    lines = [f"## {'✓' if facts['passed'] else '✗'} {cell(record.subject)} {said}", ""]
    lines += [*(f"- {cell(problem)}" for problem in facts["problems"]), ""]
    in_actions.summary("\n".join([*lines, *(table(["to", "", "seconds"], moves) if moves else []), ""]))


def _show(record: Record) -> None:
    moves, metrics = list(record.facts["moves"]), record.metrics
    width = max((len(str(move["release"])) for move in moves), default=0)
    if moves:
        click.echo(f"{'to':<{width}}  {'':<4}  seconds")
    for move in moves:
        click.echo(f"{move['release']:<{width}}  {'warm' if move['warm'] else 'cold'}  {move['seconds']:.3f}")
    if "requests" in metrics:
        asked = f"{metrics['requests']:,.0f} requests meanwhile, {metrics['failed']:,.0f} failed"
        click.echo(f"{asked}, 99 in 100 within {metrics['p99_ms']:.1f} ms")
    for problem in record.facts["problems"]:
        click.echo(f"✗ {problem}")
    if record.facts["passed"]:
        click.echo(f"✓ {record.subject} can be rolled back")
