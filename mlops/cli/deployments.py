"""What GitHub's page of deployments is told of a move, when it happens in Actions; it never decides over the move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops.cli import in_actions
from mlops.errors import MlopsError, OutsideError

if TYPE_CHECKING:
    from mlops.adapters.github.api import GitHub
    from mlops.adapters.github.deployments import Move
    from mlops.verdict import Record, Report
    from mlops.workspace import Workspace

Ended = Callable[["Record"], None]


@contextmanager
def deploying(workspace: Workspace, environment: str, release: str, reason: str) -> Iterator[Ended]:
    """Tell that a deployment is in progress, then how it ended: by the record it is given, or by the error."""
    github = _github() if in_actions.here() else None
    if github is None or environment not in workspace.config.environments:
        yield lambda _: None
        return
    move = _move(workspace, "deploy", environment, release, reason)
    with github:
        number = _begun(github, move)
        told = False

        def ended(record: Record) -> None:
            nonlocal told
            told = True
            _ended(github, number, move, record)

        try:
            yield ended
        except (MlopsError, KeyboardInterrupt) as error:
            if not told:
                _end(github, number, move, live=False, said=getattr(error, "message", "interrupted"))
            raise


def tell(workspace: Workspace, record: Record, *, hurried: bool = False) -> None:
    """Tell of a move that is over; with `hurried` once, and for three seconds at most."""
    if not in_actions.here() or not record.facts.get("changed"):
        return
    github = _github(hurried=hurried)
    if github is None:
        return
    facts = record.facts
    action = "rollback" if record.step == "rollback" else "deploy"
    move = _move(workspace, action, str(facts["environment"]), str(facts["release"]), str(facts.get("reason", "")))
    with github:
        _ended(github, _begun(github, move), move, record)


def tell_all(workspace: Workspace, report: Report) -> None:
    """Tell of each deployment of a run."""
    for record in report.records:
        if record.step == "deploy" and record.facts.get("release"):
            tell(workspace, record)


def _github(*, hurried: bool = False) -> GitHub | None:
    """GitHub, where the job has a token and no fork's commits."""
    from mlops.adapters.github.api import client
    from mlops.adapters.github.event import current

    event = current()
    return None if event is None or event.fork else client(event, hurried=hurried)


def _move(workspace: Workspace, action: str, environment: str, release: str, reason: str) -> Move:
    from mlops.adapters.github.deployments import Move

    settings = workspace.config.environments.get(environment)
    return Move(
        action="rollback" if action == "rollback" else "deploy",
        environment=environment,
        family=release.rpartition("-")[0].rpartition("_v")[0],
        release=release,
        reason=reason,
        url=settings.url if settings else "",
    )


def _begun(github: GitHub, move: Move) -> int | None:
    from mlops.adapters.github.deployments import begin

    try:
        return begin(github, move)
    except OutsideError as error:
        in_actions.warn(error)
        return None


def _ended(github: GitHub, number: int | None, move: Move, record: Record) -> None:
    live = record.facts.get("release") == move.release
    outcome = str(record.facts.get("outcome") or ("is live" if live else "is not live"))
    said = f"{move.release} {outcome}" + (f", {record.facts['release']} serves" if not live else "")
    _end(github, number, move, live=live, said=said)


def _end(github: GitHub, number: int | None, move: Move, *, live: bool, said: str) -> None:
    from mlops.adapters.github.deployments import end

    if number is None:
        return
    try:
        end(github, number, move, live=live, said=said)
    except OutsideError as error:
        in_actions.warn(error)
