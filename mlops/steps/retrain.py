"""`retrain`: a family trained anew for a reason, one at a time, after a rest, and not for ever where it fails.

What runs the pipeline is given: this decides whether it may run, and keeps what came of it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import champion
from mlops.adapters import git
from mlops.adapters.lock import locked
from mlops.errors import MlopsError, OutsideError, UsageError
from mlops.recording import executor
from mlops.release import Event
from mlops.retraining import ACTION, BEGUN, DONE, FAILED, Standing, known, standing
from mlops.targets import chosen, history
from mlops.verdict import Outcome, Record, Report

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1

_LOCK = ".retrain.lock"
_MOST = 4_000  # characters of a reason: it stands in an event, a tag of the ledger and a pull request
_SHARED = "MLFLOW_TRACKING_URI"

Made = tuple[Report, tuple[MlopsError, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A retrain that somebody or something asks for; `anyway`: a person lets neither rest nor failures stop it."""

    environment: str
    family: str
    reason: str
    anyway: bool = False


def retrain(workspace: Workspace, wanted: Wanted, work: Callable[[], Made]) -> tuple[Record, Made | None]:
    """What came of a retrain, and what `work` gave; None where it was not begun.

    Facts: `said` (`go`, or why it was not begun in a word) and `why` in words, `release`, `champion`, and `changed`,
    whether the release is another than what is live.
    """
    place = _place(workspace, wanted)
    began = time.monotonic()
    try:
        with locked(place / _LOCK, f"{wanted.family} is being trained anew", seconds=0.0):
            said = look(workspace, wanted.environment, wanted.family)
            if said.say == "running" or (said.say != "go" and not wanted.anyway):
                return _not_begun(wanted, said), None
            return _made(workspace, wanted, work, began)
    except OutsideError as error:
        if "is being trained anew" not in error.message:
            raise
        return _not_begun(wanted, Standing(say="running", why=error.message)), None


def look(workspace: Workspace, environment: str, family: str) -> Standing:
    """Whether a retrain may begin now, by this machine's history and by that of a ledger which a team shares."""
    events = known(workspace, environment, family)
    if os.environ.get(_SHARED):
        from mlops.adapters.ledger import Ledger

        ledger = Ledger(workspace.home, workspace.config.name)
        events += ledger.events(ACTION, environment=environment, family=family)
    return standing(events, workspace.config.retrain, now=datetime.now(UTC), me=executor())


def reason_of(given: str, root: Path) -> str:
    """The reason in words: the text, or what the report of `mlops monitor --json` in a `.json` file wishes for.

    No other file is read: a form may send any path, and the reason ends in a pull request. UsageError for no reason.
    """
    file = root / given
    text = given
    try:
        there = given.endswith(".json") and file.is_file()
    except OSError:  # a sentence may be too long for a name
        there = False
    if there:
        text = _told(file)
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not plain:
        raise UsageError(
            "a retrain needs a reason", next_step="--because TEXT, or the file of a report: mlops monitor ENV --json"
        )
    return plain if len(plain) <= _MOST else f"{plain[:_MOST]} …"


def environment_of(workspace: Workspace, family: str, wished: str | None) -> str:
    """Where the release to be followed is live: as wished, else production, else the first where the family is live."""
    if wished is not None:
        chosen.environment(workspace, wished)
        return wished
    known = workspace.config.environments
    for name in dict.fromkeys([*([champion.PREFERRED] if champion.PREFERRED in known else []), *known]):
        if chosen.target(workspace, name).standing(family).live is not None:
            return name
    return next(iter(known))


def _told(file: Path) -> str:
    """What the file of a report asks for."""
    try:
        values = json.loads(file.read_bytes())
        return "; ".join(str(wish["reason"]) for wish in values["wishes"])
    except (ValueError, KeyError, TypeError, OSError):
        raise UsageError(
            f"{file} is no report of a monitor", next_step="write one: mlops monitor ENV --json; or say why in words"
        ) from None


def _made(workspace: Workspace, wanted: Wanted, work: Callable[[], Made], began: float) -> tuple[Record, Made]:
    _append(workspace, wanted, BEGUN)
    live = champion.live(workspace, wanted.family, wanted.environment)
    before = "" if live is None else live.release
    try:
        report, errors = work()
    except BaseException as error:
        _append(workspace, wanted, f"{FAILED}: {type(error).__name__}: {error}", seconds=time.monotonic() - began)
        raise
    why = _refused(report, errors)
    release = report.releases[0] if report.releases and not why else ""
    outcome = f"{FAILED}: {why}" if why else DONE
    _append(workspace, wanted, outcome, release=release, previous=before, seconds=time.monotonic() - began)
    facts = {
        "environment": wanted.environment,
        "family": wanted.family,
        "reason": wanted.reason,
        "said": "go",
        "why": why,
        "release": release,
        "champion": before,
        "changed": bool(release) and release != before,
    }
    record = Record(step="retrain", subject=wanted.family, facts=facts, seconds=time.monotonic() - began)
    return record, (report, errors)


def _refused(report: Report, errors: tuple[MlopsError, ...]) -> str:
    """Why there is no release to go on with; "" where there is one."""
    noes = [v for v in report.verdicts if not v.accepted]
    said = [f"{v.gate} {v.subject} gave {v.outcome.value}: {v.fired[0].message}" for v in noes if v.fired]
    said += [f"{v.gate} {v.subject} gave {v.outcome.value}" for v in noes if not v.fired]
    said += [error.message for error in errors]
    if not said and report.outcome not in (Outcome.PASS, Outcome.OVERRIDDEN):
        said.append(report.outcome.value)
    if not said and not report.releases:
        said.append("no release was made")
    return "; ".join(said)[:_MOST]


def _not_begun(wanted: Wanted, said: Standing) -> Record:
    facts: dict[str, Any] = {"environment": wanted.environment, "family": wanted.family, "reason": wanted.reason}
    facts |= {"said": said.say, "why": said.why, "release": "", "champion": "", "changed": False}
    return Record(step="retrain", subject=wanted.family, facts=facts)


def _append(
    workspace: Workspace, wanted: Wanted, outcome: str, *, release: str = "", previous: str = "", seconds: float = 0.0
) -> None:
    event = Event(
        at=datetime.now(UTC).isoformat(),
        action=ACTION,
        environment=wanted.environment,
        family=wanted.family,
        to=release,
        previous=previous,
        who=executor(),
        reason=f"{wanted.reason} (anyway: {git.who(workspace.root)})" if wanted.anyway else wanted.reason,
        outcome=outcome,
        seconds=round(seconds, 3),
    )
    history.append(_place(workspace, wanted), event)


def _place(workspace: Workspace, wanted: Wanted) -> Path:
    return workspace.environments / wanted.environment / wanted.family
