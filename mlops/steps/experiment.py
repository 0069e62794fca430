"""`experiment`: a challenger beside the live release for days, compared by what came of their decisions.

Begun once, looked at as often as one likes, ended by what a look says. Nothing runs in between but the servers: what
was agreed lies in a journal beside the pointer, requests are dealt out by the workers, decisions are in their log.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from mlops import outcomes
from mlops.errors import ConfigError, DeploymentFailed, MlopsError, NothingToDo, UsageError
from mlops.gates import canary
from mlops.gates import experiment as gate
from mlops.gates.experiment import Question, Said
from mlops.gates.severities import apply
from mlops.samples import ERROR, Plan, stated, units, values
from mlops.serving.pointer import read_pointer
from mlops.serving.tally import read_tallies, total
from mlops.serving.trying import lot
from mlops.statistics.effect import Arm
from mlops.targets import chosen, trying
from mlops.targets.local import LocalTarget
from mlops.targets.orders import deployment, here, who
from mlops.targets.protocol import Order, Prepare
from mlops.targets.trying import Journal
from mlops.verdict import Finding, Outcome, Record, Verdict

if TYPE_CHECKING:
    import pandas as pd

    from mlops.workspace import Workspace

VERSION = 1
KIND: trying.Kind = "experiment"
_DAY = 86_400.0
_HEALTH = ("canary.errors", "canary.refusals", "canary.non-finite", "canary.latency")


class Design(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal keeps: the question, when requests began to be dealt, and the labels that each arm needs."""

    question: Question
    power: float
    began: datetime
    challenger: int
    live: int

    @property
    def also(self) -> tuple[str, ...]:
        """The column of the outcomes that it reads beside the label."""
        return () if self.question.metric == ERROR else (self.question.metric,)


def start(
    workspace: Workspace,
    *,
    environment: str,
    release: str,
    plan: Plan,
    reason: str = "",
    prepare: Prepare | None = None,
    only_say: bool = False,
) -> Record:
    """The experiment begun, or with `only_say` what it would take; facts say the sample, by arm, and the days.

    InsufficientEvidence where nobody knows the live release's metric, or the plan's time cannot bring enough labels;
    then nothing has begun. NothingToDo where nothing is live or no server runs.
    """
    target, order = here(workspace, environment, "experiments"), deployment(workspace, release, reason)
    live = _live(target, order)
    _demand_log(workspace, environment, live)
    sample = stated(workspace, environment, live, plan)
    facts = {"environment": environment, "family": order.family, "challenger": order.release, "live": live, **sample}
    if not only_say:
        trying.mend(target, order.family)
        _begin(target, order, live, plan, sample, prepare)
    return Record(step="experiment", subject=environment, facts={**facts, "begun": not only_say})


def look(
    workspace: Workspace,
    *,
    environment: str,
    family: str | None = None,
    promote: bool = False,
    now: datetime | None = None,
) -> Record:
    """What is known now, in facts under `said`: `promote`, `stop`, `go on` or `insufficient`; the verdict tells why.

    `stop` and `insufficient` end the experiment, and the live release answers all requests again. `promote` brings the
    challenger live where that is asked for, else it says so. NothingToDo where no experiment runs.
    """
    target, folder, journal = _running(workspace, environment, family)
    with trying.judging(target.folder / folder, KIND):
        judge = _Look(workspace, target, journal, now or datetime.now(UTC))
        said, findings, arms = judge.judged()
        sentences = tuple(f"{one.check} {one.outcome.value}: {one.message}" for one in findings)
        done = False
        if said == "promote" and promote:
            order = deployment(workspace, journal.release, journal.reason)
            done = trying.promote(target, journal, order, sentences) is not None
        elif said in ("stop", "insufficient"):
            why = next((one.message for one in findings if one.fired), "")
            trying.end(target, journal, f"{said}: {why}", sentences)
            done = True
    return _record(judge, said, findings, arms, done=done)


def stop(workspace: Workspace, *, environment: str, family: str | None = None, reason: str = "") -> Record:
    """The experiment ended by hand: the live release answers all requests. NothingToDo where none runs."""
    target, _, journal = _running(workspace, environment, family)
    trying.end(target, journal, f"{trying.ENDED}: {who(workspace)}{f': {reason}' if reason else ''}")
    facts = {"environment": environment, "family": journal.family, "challenger": journal.release, "live": journal.live}
    return Record(step="experiment", subject=environment, facts={**facts, "said": "stopped", "reason": reason})


class _Look:
    """One look at a running experiment."""

    def __init__(self, workspace: Workspace, target: LocalTarget, journal: Journal, now: datetime) -> None:
        self.workspace, self.target, self.journal, self.now = workspace, target, journal, now
        self.design = msgspec.json.decode(journal.design, type=Design)
        self.rule = outcomes.rule_of(workspace, journal.release)
        self.until = self.design.began + timedelta(seconds=journal.seconds)

    def judged(self) -> tuple[Said, tuple[Finding, ...], tuple[Arm, Arm]]:
        """What follows, the findings worst first, and both arms."""
        found = outcomes.joined(
            self.workspace,
            self.journal.environment,
            self.journal.release,
            since=self.design.began,
            until=self.until,
            now=self.now,
            also=self.design.also,
        )
        over = self.now >= self.until + self.rule.delay
        rows = self._compared(found.rows)
        judged = gate.judged(rows, self.design.question, over=over, subject=self.journal.release)
        severity = {
            name: one
            for name, one in self.workspace.config.severity.items()
            if name.startswith(("experiment.", "outcomes.", "canary."))
        }
        findings = apply((*judged.findings, *self._health(), *found.findings), severity)
        return _agreed(judged.said, findings, over=over), findings, (judged.challenger, judged.live)

    def _compared(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The mature decisions that were answered by one of both, each with its unit and its value."""
        releases = (self.journal.release, self.journal.live)
        first = rows["row"] == 0  # the rows of one request are not independent, and went to one arm by the first
        some = rows[rows["mature"] & first & rows["release"].isin(releases) & (rows["arm"] != "shadow")]
        unit = units(some, self.rule.contract)
        drawn = {one: lot(self.journal.release, one) < self.journal.share for one in unit.unique()}
        return some.assign(
            challenger=some["release"] == self.journal.release,
            drawn=unit.map(drawn).astype(bool),
            unit=unit,
            value=values(some, self.design.question.metric, self.rule.contract),
        )[["challenger", "drawn", "unit", "value"]]

    def _health(self) -> tuple[Finding, ...]:
        """Whether the challenger fails, refuses or keeps waiting more of its callers."""
        folder = self.target.folder / self.journal.family
        tallies = read_tallies(folder, self.journal.trial)
        seen = msgspec.json.decode(self.journal.seen, type=canary.Seen | None) or canary.Seen()
        seen = canary.looked(seen, total(tallies, self.journal.release), total(tallies, self.journal.live))
        spent = (min(self.now, self.until) - self.design.began).total_seconds()
        self.journal = msgspec.structs.replace(
            self.journal, seen=msgspec.Raw(msgspec.json.encode(seen)), spent=max(0.0, spent)
        )
        trying.keep_if_on(self.target, self.journal)
        return tuple(one for one in canary.judged(seen, subject=self.journal.release) if one.check in _HEALTH)


def _agreed(said: Said, findings: Sequence[Finding], *, over: bool) -> Said:
    """What the whole look means: harm ends it, and nothing is promoted by outcomes that contradict each other."""
    verdict = Verdict(gate="experiment", subject="", findings=tuple(findings))
    failed = (
        {one.check.partition(".")[0] for one in verdict.fired if one.outcome is Outcome.FAIL}
        if (verdict.outcome is Outcome.FAIL)
        else set()
    )
    if said == "stop" or "canary" in failed:
        return "stop"
    if said == "promote" and "outcomes" in failed:
        return "insufficient" if over else "go on"
    return said


def _begin(
    target: LocalTarget, order: Order, live: str, plan: Plan, sample: dict[str, Any], prepare: Prepare | None
) -> None:
    question = Question(metric=plan.metric, better=plan.better, effect=plan.effect, level=plan.level, share=plan.share)
    journal = Journal(
        kind=KIND,
        trial=uuid4().hex[:12],
        environment=target.environment,
        family=order.family,
        release=order.release,
        live=live,
        share=plan.share,
        seconds=plan.seconds,
        requests=None,
        since=datetime.now(UTC).isoformat(timespec="milliseconds"),
        who=order.who,
        reason=order.reason,
    )
    try:
        refused = trying.begin(target, journal, prepare)
    except (MlopsError, KeyboardInterrupt) as error:
        why = error.message if isinstance(error, MlopsError) else "interrupted"
        trying.end(target, journal, f"failed: {why}")
        raise
    if refused is not None:
        trying.end(target, journal, f"it did not get ready: {refused}")
        raise DeploymentFailed(
            f"no experiment has begun: {order.release} did not get ready: {refused}; {live} serves",
            next_step="mend the release (`mlops check-service` boots it alone), then start again",
        )
    design = Design(
        question=question,
        power=plan.power,
        began=datetime.now(UTC),
        challenger=sample["needed_challenger"],
        live=sample["needed_live"],
    )
    asked = msgspec.structs.replace(journal, design=msgspec.Raw(msgspec.json.encode(design)))
    if trying.ask(target, asked, seconds=plan.seconds) is None:
        raise DeploymentFailed(
            "somebody moved the pointer meanwhile; no experiment has begun",
            next_step=f"look who: `mlops status {target.environment}`",
        )


def _demand_log(workspace: Workspace, environment: str, live: str) -> None:
    """ConfigError where decisions are not kept, or kept without the keys by which requests are dealt out."""
    kept = workspace.config.environments[environment].decisions
    place = f"[tool.mlops.environments.{environment}.decisions]"
    if not kept.log:
        raise ConfigError(f"{environment} does not keep its decisions", next_step=f"write log = true in {place}")
    lost = [name for name in outcomes.rule_of(workspace, live).contract.entities if name in kept.omit]
    if lost:
        raise ConfigError(
            f"{environment} keeps its decisions without {lost[0]!r}, by which requests are dealt out",
            next_step=f"take it out of `omit` in {place}",
        )


def _live(target: LocalTarget, order: Order) -> str:
    pointer = read_pointer(target.folder / order.family)
    if pointer is None:
        raise NothingToDo(
            f"nothing is live in {target.environment} to compare with",
            next_step=f"deploy a release: `mlops deploy {target.environment}`",
        )
    if pointer.live == order.release:
        raise UsageError(f"{order.release} is live itself", next_step="name another release")
    return pointer.live


def _running(workspace: Workspace, environment: str, family: str | None) -> tuple[LocalTarget, str, Journal]:
    target = here(workspace, environment, "experiments")
    name = chosen.family(target.families(), family, environment)
    journal = trying.read_journal(target.folder / name, KIND)
    if journal is None or journal.decided is not None:
        raise NothingToDo(
            f"no experiment runs in {environment}",
            next_step=f"begin one: `mlops experiment start {environment} RELEASE --effect 2%`",
        )
    return target, name, journal


def _record(judge: _Look, said: Said, findings: tuple[Finding, ...], arms: tuple[Arm, Arm], *, done: bool) -> Record:
    journal, design = judge.journal, judge.design
    pointer = read_pointer(judge.target.folder / journal.family)
    facts = {
        "environment": journal.environment,
        "family": journal.family,
        "challenger": journal.release,
        "live": pointer.live if pointer else None,
        "said": said,
        "ended": done,
        "metric": design.question.metric,
        "labels_challenger": arms[0].n,
        "labels_live": arms[1].n,
        "needed_challenger": design.challenger,
        "needed_live": design.live,
        "days": (judge.now - design.began).total_seconds() / _DAY,
        "days_planned": journal.seconds / _DAY,
        "label_delay_days": judge.rule.delay.total_seconds() / _DAY,
    }
    verdict = Verdict(gate="experiment", subject=journal.release, findings=findings)
    return Record(step="experiment", subject=journal.environment, facts=facts, verdict=verdict, started=time.time())
