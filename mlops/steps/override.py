"""`override`: lets a gate's "no" pass for a while, as an event in the ledger; ends one; tells of all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from mlops import own_tests
from mlops.errors import NothingToDo, UsageError, nearest
from mlops.gates.overrides import in_force
from mlops.gates.severities import FINAL, GATES, known_checks
from mlops.targets.orders import who
from mlops.verdict import Override, Record

if TYPE_CHECKING:
    from mlops.adapters.ledger import Ledger
    from mlops.workspace import Workspace

VERSION = 1
LONGEST = 90
"""Days that an override may last: what is right for longer belongs into the configuration, where a review sees it."""


def override(workspace: Workspace, *, gate: str, until: str, reason: str, subject: str = "") -> Record:
    """Let the gate's "no" pass through the day `until`; fact `override`. UsageError for what cannot be."""
    _demand_gate(workspace, gate)
    _demand_subject(workspace, subject)
    last = _day(until)
    if not reason.strip():
        raise UsageError("an override needs a reason", next_step='say why, for those who read it later: --reason "…"')
    event = _event(workspace, Override(gate=gate, subject=subject, until=str(last), reason=reason, who="", at=""))
    _ledger(workspace).override(event)
    return Record(step="override", subject=gate, facts={"override": event})


def end(workspace: Workspace, *, gate: str, reason: str = "", subject: str = "") -> Record:
    """End an override before its day by a further event; NothingToDo where none is in force."""
    ledger = _ledger(workspace)
    held = in_force(ledger.overrides(), _today())
    found = next((one for one in held if (one.gate, one.subject) == (gate, subject)), None)
    if found is None:
        names = [f"{one.gate} --for {one.subject}" if one.subject else one.gate for one in held]
        wanted = f"{gate} for {subject}" if subject else gate
        raise NothingToDo(f"no override of {wanted} is in force", next_step=nearest(wanted, names))
    event = _event(workspace, dataclasses.replace(found, reason=reason, ended=True))
    ledger.override(event)
    return Record(step="override", subject=gate, facts={"override": event})


def overrides(workspace: Workspace) -> Record:
    """Facts `in_force` and `over`: the overrides that hold today, and those that ended, newest first."""
    events: Sequence[Override] = _ledger(workspace).overrides()
    held = in_force(events, _today())
    over = [one for one in sorted(events, key=lambda event: event.at, reverse=True) if one not in held]
    return Record(step="override", subject="", facts={"in_force": held, "over": tuple(over)})


def _demand_gate(workspace: Workspace, gate: str) -> None:
    if gate in FINAL:
        raise UsageError(f"{gate} cannot be overridden: {FINAL[gate]}", next_step="mend what it found")
    known = {*GATES, *known_checks(), *(f"own.{name}" for name in own_tests.checks(workspace))} - FINAL.keys()
    if gate not in known:
        raise UsageError(f"there is no gate or check {gate!r}", next_step=nearest(gate, known))


def _demand_subject(workspace: Workspace, subject: str) -> None:
    catalog = workspace.catalog
    known = {*catalog.models, *catalog.families(), *catalog.views, *catalog.on_demands, *workspace.config.sources}
    if subject and subject not in known:
        raise UsageError(f"there is no model, feature or source {subject!r}", next_step=nearest(subject, known))


def _day(until: str) -> date:
    try:
        day = date.fromisoformat(until)
    except ValueError:
        raise UsageError(f"{until!r} is no date", next_step="write it as YEAR-MONTH-DAY: 2026-12-24") from None
    days = (day - _today()).days
    if days < 0:
        raise UsageError(f"{day} is in the past", next_step="name a day from today on (UTC)")
    if days > LONGEST:
        step = "name an earlier day, or change the threshold or severity in pyproject.toml, where a review sees it"
        raise UsageError(f"{day} is {days} days away; an override lasts {LONGEST} at most", next_step=step)
    return day


def _event(workspace: Workspace, override: Override) -> Override:
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    return dataclasses.replace(override, who=who(workspace), at=at, reason=" ".join(override.reason.split()))


def _today() -> date:
    return datetime.now(UTC).date()


def _ledger(workspace: Workspace) -> Ledger:
    from mlops.adapters.ledger import Ledger

    return Ledger(workspace.home, workspace.config.name)
