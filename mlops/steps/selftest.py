"""`selftest`: known faults planted into the user's own data and model; every gate must find them, and pass the rest.

The user's own settings are in force. A gate that was loosened until it no longer fires shows here as a row that is
wrong, with the setting that lets the fault through.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from mlops.adapters.deepchecks import Deepchecks
from mlops.errors import NothingToDo, UsageError, nearest
from mlops.faults import GATES
from mlops.faults.bench import Bench, Material
from mlops.faults.case import Case, Reaction
from mlops.gates.severities import apply
from mlops.verdict import Outcome, Severity, Verdict
from mlops.workspace import Workspace

VERSION = 2

_LANES = (("integrity", "train_test"), ("service",))
"""Gates that wait for processes of their own; each lane runs beside the others, and in order within."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One planted fault (or none), what the gate must do and what it did, with the sentence that a user reads."""

    gate: str
    fault: str
    check: str
    expected: Reaction
    got: Reaction
    sentence: str
    seconds: float

    @property
    def right(self) -> bool:
        """Whether the gate did what it must: pass what is sound, and do no less than it must about a fault."""
        return self.got.is_at_least(self.expected) if self.check else self.got is Reaction.PASSES


def selftest(
    workspace: Workspace,
    *,
    material: Material,
    deepchecks: Deepchecks | None,
    gates: Collection[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Row, ...]:
    """One row per gate and fault; `gates` names some of `GATES`, all by default.

    NothingToDo when no fault applies, because a self-test that tests nothing is no pass.
    """
    demand_known(gates)
    bench = Bench(workspace, material, deepchecks)
    wanted = [name for name in GATES if name in gates or not gates]
    lanes = [[name for name in lane if name in wanted] for lane in _LANES]
    lanes.append([name for name in wanted if not any(name in lane for lane in _LANES)])
    with ThreadPoolExecutor(len(lanes), thread_name_prefix="selftest") as pool:
        tried = [row for lane in pool.map(partial(_lane, bench, progress), lanes) for row in lane]
    if not tried:
        raise NothingToDo("no fault applies to these gates", next_step="name other gates, or none for all")
    return tuple(sorted(tried, key=lambda row: wanted.index(row.gate)))


def demand_known(gates: Collection[str]) -> None:
    """UsageError for a gate that does not exist."""
    for name in gates:
        if name not in GATES:
            raise UsageError(f"there is no gate {name!r} to test", next_step=nearest(name, GATES))


def needs_package(gates: Collection[str]) -> bool:
    """Whether one of `gates` (none: all) is asked of a packaged model."""
    return not gates or "service" in gates


def _lane(bench: Bench, progress: Callable[[str], None], gates: Sequence[str]) -> list[Row]:
    rows = []
    for gate in gates:
        # Closed also where a case raises: what a gate has started (a server) ends with its cases.
        with contextlib.closing(GATES[gate].cases(bench)) as cases:
            for case in cases:
                progress(f"{gate}: {case.fault}")
                rows.append(_tried(bench, gate, case))
    return rows


def _tried(bench: Bench, gate: str, case: Case) -> Row:
    start = time.perf_counter()
    found = apply(case.judge(), bench.config.severity)
    verdict = Verdict(gate=gate, subject=bench.model.name, findings=found)
    telling = [finding for finding in verdict.fired if finding.check == case.check] or list(verdict.fired)
    row = Row(
        gate=gate,
        fault=case.fault,
        check=case.check,
        expected=case.expected,
        got=_did(verdict, case.check),
        sentence=telling[0].message if telling else "",
        seconds=round(time.perf_counter() - start, 3),
    )
    return row if row.right else dataclasses.replace(row, sentence=_wrong(bench, case, row))


def _did(verdict: Verdict, check: str) -> Reaction:
    """What a verdict does, on account of `check` if it is named."""
    findings = verdict.findings if not check else tuple(f for f in verdict.findings if f.check == check)
    named = dataclasses.replace(verdict, findings=findings)
    if named.outcome is Outcome.NOT_RUN and check:
        return Reaction.NOT_RUN
    if not named.accepted:
        return Reaction.STOPS
    if named.retrain:
        return Reaction.RETRAINS
    warned = check and any(f.severity is Severity.WARN for f in named.fired)
    return Reaction.WARNS if warned else Reaction.PASSES


def _wrong(bench: Bench, case: Case, row: Row) -> str:
    """Why a row is wrong, with the setting that has to change."""
    if not case.check:
        return f"nothing was planted, and the gate does not pass: {row.sentence or 'no check ran'}"
    severity = bench.config.severity.get(case.check)
    if severity is not None and row.got.is_at_least(Reaction.WARNS):
        return (
            f'the fault is found, but [tool.mlops.severity] "{case.check}" = "{severity}" lets it through: '
            f"remove the line ({row.sentence})"
        )
    if case.setting:
        return f"{case.check} does not fire any more: {case.setting} lets the fault through; tighten it"
    return f"{case.check} does not fire: {row.sentence or 'it found nothing'}"
