"""The values that travel: a finding, the verdict over findings, the record of a step, the report of a run.

A gate fails closed: without findings it did not run, and *not run* counts as a failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

KEYED = (
    "snapshot",
    "check-features",
    "check-data",
    "build-features",
    "assemble",
    "train",
    "check-model",
    "package",
    "check-service",
    "register",
)
"""The steps that have a key: they are reused where nothing that they are made of has changed."""

STEPS = (*KEYED, "deploy")
"""All steps of a run, in the order in which it has them and people read of them."""


class Outcome(StrEnum):
    """How a check ended."""

    PASS = "pass"
    FAIL = "fail"
    INSUFFICIENT = "insufficient"
    OVERRIDDEN = "overridden"
    NOT_RUN = "not run"
    SKIPPED = "skipped"


class Severity(StrEnum):
    """What happens when a check fires: stop, ask for retraining, or only say so."""

    FAIL = "fail"
    RETRAIN = "retrain"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """That a person lets a gate's "no" pass, for a while and with a reason; recorded in the ledger.

    `gate` is a check (`model.champion`) or a whole gate (`check-model`); `subject` a model, its family, or a source,
    "" for all. It holds through the day `until` (ISO, UTC). `ended` is set where it was ended before.
    """

    gate: str
    until: str
    reason: str
    who: str
    at: str  # ISO 8601, UTC
    subject: str = ""
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check saw about one subject, with the evidence and the next step.

    `check` is a dotted name such as `schema.range`; `subject` a column, view or file; `segment` the part of
    the rows it is about, in words (`channel = 'online'`); `rows` the first rows concerned (positions in the table,
    or keys); `interval` a 95 % interval. An overridden finding says by which `override`, and what it had `found`.
    A skipped check states its reason in `message`: a skip without a reason is not a pass. `detail` are lines that are
    shown as they are, such as a diff.
    """

    check: str
    outcome: Outcome
    message: str
    severity: Severity = Severity.FAIL
    subject: str = ""
    measured: float | str | None = None
    threshold: float | str | None = None
    n: int | None = None
    interval: tuple[float, float] | None = None
    rows: tuple[int | str, ...] = ()
    segment: str = ""
    next_step: str = ""
    detail: str = ""
    override: Override | None = None
    found: Outcome | None = None

    def __post_init__(self) -> None:
        if not self.message:
            raise ValueError(f"{self.check}: a finding without a message says nothing")

    @property
    def fired(self) -> bool:
        """Whether the check found what it looks for, or could not look."""
        return self.outcome in (Outcome.FAIL, Outcome.NOT_RUN, Outcome.INSUFFICIENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judgement of one gate over its findings."""

    gate: str
    subject: str
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> Outcome:
        """Fail beats insufficient beats overridden beats pass.

        A pass needs a check that decided something: findings that are all skipped, did not run or could not tell
        are none, whatever their severity.
        """
        every = {f.outcome for f in self.findings}
        stopping = {f.outcome for f in self.findings if f.severity is Severity.FAIL}
        if stopping & {Outcome.FAIL, Outcome.NOT_RUN}:
            return Outcome.FAIL
        if not every & {Outcome.PASS, Outcome.FAIL, Outcome.OVERRIDDEN}:
            return Outcome.INSUFFICIENT if Outcome.INSUFFICIENT in every else Outcome.NOT_RUN
        if Outcome.INSUFFICIENT in stopping:
            return Outcome.INSUFFICIENT
        return Outcome.OVERRIDDEN if Outcome.OVERRIDDEN in every else Outcome.PASS

    @property
    def accepted(self) -> bool:
        """Whether the pipeline may go on."""
        return self.outcome in (Outcome.PASS, Outcome.OVERRIDDEN)

    @property
    def overridden(self) -> tuple[Finding, ...]:
        """The findings that a person let pass."""
        return tuple(f for f in self.findings if f.outcome is Outcome.OVERRIDDEN)

    @property
    def retrain(self) -> bool:
        """Whether a check asks for retraining: it found something, rather than that it could not tell."""
        return any(f.outcome is Outcome.FAIL and f.severity is Severity.RETRAIN for f in self.findings)

    @property
    def fired(self) -> tuple[Finding, ...]:
        """The findings that a person should read, worst first."""
        rank = {Severity.FAIL: 0, Severity.RETRAIN: 1, Severity.WARN: 2}
        return tuple(sorted((f for f in self.findings if f.fired), key=lambda f: rank[f.severity]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a step leaves behind: names of outputs to sha256 digests in the object store, and facts.

    `step` is the verb, `subject` what it worked on (a source, view or model), `key` the digest of all
    that went in. `facts` holds small JSON values that later steps read. `seconds` is wall time. `inputs` names what it
    was given, `step:subject/output` to digest; `memory` is the most that was resident while it ran, in bytes: `own` of
    this process, which steps side by side share, and `children` of the processes below it.
    """

    step: str
    subject: str
    key: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    verdict: Verdict | None = None
    started: float = 0.0
    seconds: float = 0.0
    reused: bool = False
    run_id: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)  # each function it calls to the digest of its closure
    memory: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The task's name, `step:subject`."""
        return f"{self.step}:{self.subject}" if self.subject else self.step


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a command did and judged, in the order in which it ended."""

    command: str
    records: tuple[Record, ...]
    releases: tuple[str, ...] = ()
    deployed: Mapping[str, str] = field(default_factory=dict)  # what is live by now, one of each family, and where
    about: Mapping[str, str] = field(default_factory=dict)  # of which commit, by whom, when
    errors: tuple[str, ...] = ()  # what stopped tasks, so that a report of half a run does not read like a pass

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts among the records."""
        return tuple(r.verdict for r in self.records if r.verdict is not None)

    @property
    def outcome(self) -> Outcome:
        """The worst verdict; *not run* where nothing was judged or done."""
        if not self.records:
            return Outcome.NOT_RUN
        outcomes = {v.outcome for v in self.verdicts}
        for worst in (Outcome.FAIL, Outcome.NOT_RUN, Outcome.INSUFFICIENT, Outcome.OVERRIDDEN):
            if worst in outcomes:
                return worst
        return Outcome.PASS
