"""How a report reaches GitHub: the job's summary, one comment on the pull request, a status for each gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import click

from mlops.cli import in_actions
from mlops.errors import MlopsError, OutsideError, UsageError

if TYPE_CHECKING:
    from mlops.adapters.github.api import GitHub
    from mlops.adapters.github.event import Event
    from mlops.plan import Plan
    from mlops.reports.comment import Link
    from mlops.reports.words import Shown
    from mlops.verdict import Finding, Report, Verdict
    from mlops.workspace import Workspace

State = Literal["success", "failure", "error"]

_FORK = (
    "This pull request comes from a fork, whose runs may not write here: the report is in the job's summary and its "
    "artifact, and not in a comment."
)


def publish(workspace: Workspace, report: Report, shown: Shown) -> None:
    """Put the report where the event allows; what GitHub does not permit is a warning, and decides nothing."""
    from mlops.adapters.github.api import client
    from mlops.adapters.github.event import current

    event = current()
    if event is None:
        raise UsageError(
            "--comment needs a workflow: there is no pull request here",
            next_step="write a file instead: `mlops report report.md`",
        )
    text = _written(workspace, report, shown, event)
    in_actions.summary(text + (f"\n> {_FORK}\n" if event.fork else ""))
    if event.fork:
        click.echo(_FORK)
        return
    github = client(event)
    if github is None:
        missing = "there is no token, so the report is in the job's summary alone"
        in_actions.warn(OutsideError(missing, next_step="give the step `env: GITHUB_TOKEN: ${{ github.token }}`"))
        return
    with github:
        _comment(github, workspace.config.name, text)
        _statuses(github, workspace.config.name, report)


def publish_untouched(workspace: Workspace) -> bool:
    """Where the change affects nothing, say so: the status of the whole, and the comment if there is one already.

    False where this clone cannot tell, or something is affected: then a report is missing.
    """
    from mlops.adapters.github.api import client
    from mlops.adapters.github.comments import set_status, update
    from mlops.adapters.github.event import current

    event, plan = current(), _plan(workspace)
    if event is None or plan is None or plan.models:
        return False
    click.echo(plan.sentence)
    in_actions.summary(f"## ✓ {plan.sentence}\n")
    github = None if event.fork else client(event)
    if github is None:
        return True
    name = workspace.config.name
    with github:
        try:
            set_status(github, f"mlops/{name}", "success", plan.sentence)
            if event.number is not None:
                update(github, event.number, name, f"## ✓ {name}: nothing to judge\n\n{plan.sentence}\n")
        except OutsideError as error:
            in_actions.warn(error)
    return True


def _written(workspace: Workspace, report: Report, shown: Shown, event: Event) -> str:
    from mlops.reports import comment
    from mlops.steps.report import boxes

    plan = _plan(workspace)
    try:
        made = boxes(workspace, report, plan.views if plan else ())
    except MlopsError:  # declarations that do not load are told by the gates
        made = ()
    around = comment.Around(
        project=workspace.config.name,
        commit=event.sha,
        run_url=event.run_url,
        boxes=made,
        plan=plan,
        link=_link(workspace, event),
    )
    return comment.render(report, shown, around)


def _plan(workspace: Workspace) -> Plan | None:
    """What the change affects, where this clone can tell."""
    from mlops.cli.plan import planned

    try:
        return planned(workspace, (), None)
    except MlopsError:
        return None


def _link(workspace: Workspace, event: Event) -> Link:
    from mlops.places import place_of

    def link(verdict: Verdict, finding: Finding) -> tuple[str, str]:
        try:
            place = place_of(workspace, verdict, finding)
        except MlopsError:
            return "", ""
        if place is None:
            return "", ""
        return str(place), event.blob_url(event.within(workspace.root / place.file), place.line)

    return link


def _comment(github: GitHub, project: str, text: str) -> None:
    from mlops.adapters.github.comments import upsert

    number = github.event.number
    if number is None:
        click.echo("there is no pull request here: the report is in the job's summary")
        return
    try:
        told = upsert(github, number, project, text)
    except OutsideError as error:
        in_actions.warn(error)
        return
    how = {"written": "wrote the report", "updated": "updated the report", "left": "a newer run's report stays"}
    click.echo(f"{how[told.how]}: {told.url}")


def _statuses(github: GitHub, project: str, report: Report) -> None:
    from mlops.adapters.github.comments import set_status

    try:
        for context, (state, description) in statuses(project, report).items():
            set_status(github, context, state, description)
    except OutsideError as error:
        in_actions.warn(error)


def statuses(project: str, report: Report) -> Mapping[str, tuple[State, str]]:
    """The state of the whole, `mlops/PROJECT`, and of each gate, `mlops/PROJECT/GATE`, with a sentence on it."""
    from mlops.reports.comment import said
    from mlops.reports.words import counts
    from mlops.verdict import Outcome, Record, Report

    def state(part: Report) -> State:
        if part.errors and part.outcome is Outcome.PASS:
            return "error"
        return "success" if part.outcome in (Outcome.PASS, Outcome.OVERRIDDEN) else "failure"

    def described(part: Report) -> str:
        fired = next((finding.message for verdict in part.verdicts for finding in verdict.fired), "")
        return f"{part.outcome.value}: {fired}" if fired else counts(part)

    gates: dict[str, list[Record]] = {}
    for record in report.records:
        if record.verdict is not None:
            gates.setdefault(record.verdict.gate, []).append(record)
    parts = {gate: Report(command=report.command, records=tuple(records)) for gate, records in gates.items()}
    each = {f"mlops/{project}/{gate}": (state(part), described(part)) for gate, part in parts.items()}
    return {f"mlops/{project}": (state(report), said(report)), **each}
