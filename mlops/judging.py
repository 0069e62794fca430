"""A release on trial, watched: looked at until it is promoted, rolled back, held or compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from mlops.errors import UsageError
from mlops.gates import canary as gate
from mlops.gates.severities import apply
from mlops.serving.pointer import read_pointer
from mlops.serving.tally import Compared, Counts, Tally, read_tallies, total
from mlops.statistics.sequential import Evidence
from mlops.targets import trying
from mlops.targets.local import LocalTarget
from mlops.targets.protocol import Moved, Order
from mlops.targets.trying import Journal, Kind
from mlops.verdict import Finding, Outcome, Record, Verdict
from mlops.workspace import Workspace

_LEASE = 30.0
"""Seconds that a canary is asked at most when its judge has died."""

PROMOTED, ROLLED_BACK, HELD, ENDED, COMPARED = "promoted", "rolled back", "held", "ended", "compared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a release is tried out: its share of the entities, for how long, or until it had so many requests.

    A shadow has no share; it is asked what the live release is asked. `look` is the seconds between two looks.
    """

    kind: Kind = "canary"
    share: float = 0.1
    seconds: float = 600.0
    requests: int | None = None
    look: float = 1.0

    def sentence(self, live: str) -> str:
        """What becomes of a release that is tried so, beside the live one."""
        until = f"{self.seconds:g} seconds" + (f" or {self.requests} requests" if self.requests else "")
        if self.kind == "shadow":
            return f"be asked what {live} is asked, and answer nobody, for {until}"
        return f"answer {100 * self.share:g}% of the entities beside {live} for {until}"

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 0.5:
            raise UsageError(
                f"a canary's share is more than 0 and at most 50 %, not {self.share:.3%}",
                next_step="say for example --canary 10%; without --canary the release gets all requests",
            )
        if self.requests is not None and self.requests < gate.LEAST:
            raise UsageError(
                f"{self.requests} requests cannot tell; it takes {gate.LEAST}", next_step=f"--requests {gate.LEAST}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is known at one look, for whoever watches."""

    kind: Kind
    release: str
    seconds: float
    of: float
    requests: int
    findings: tuple[Finding, ...]


Tell = Callable[[Look], None]


class Judge:
    """Looks at a trial until it is decided."""

    def __init__(self, workspace: Workspace, target: LocalTarget, journal: Journal, look: float, tell: Tell) -> None:
        self._workspace = workspace
        self._target = target
        self._journal = journal
        self._folder = target.folder / journal.family
        self._look, self._tell = look, tell
        self._started = time.monotonic()
        known = msgspec.json.decode(journal.seen, type=gate.Seen | None)
        self._seen = known or gate.Seen()

    def run(self) -> Record:
        """Ask, look, and decide. Interrupted by hand, it ends the trial."""
        try:
            return self._judge()
        except KeyboardInterrupt:
            trying.end(self._target, self._journal, f"{ENDED}: interrupted by {self._journal.who}")
            raise

    def _judge(self) -> Record:
        if not self._asked():
            return self._ended()
        self._seen = gate.rebased(self._seen, *self._totals(read_tallies(self._folder, self._journal.trial)))
        spent, began = self._journal.spent, time.monotonic()
        left = max(0.0, self._journal.seconds - spent)
        asked = began
        while True:
            time.sleep(min(self._look, max(0.0, began + left - time.monotonic())))
            now = time.monotonic()
            pointer = read_pointer(self._folder)
            if pointer is None or not trying.on_trial(pointer, self._journal):
                return self._ended()
            verdict = self._looked(spent + now - began)
            self._tell(self._told(verdict))
            if verdict.outcome is Outcome.FAIL and (self._journal.kind == "canary" or _harmful(verdict)):
                return self._rolled_back(verdict)
            enough = self._journal.requests is not None and self._asked_so_far(verdict) >= self._journal.requests
            if now >= began + left or (enough and verdict.accepted):
                return self._over(verdict)
            if now - asked > _LEASE / 3:
                asked = now
                if not self._asked():
                    return self._ended()

    def _asked(self) -> bool:
        """Whether the canary has its share for a while longer."""
        asking = trying.ask(self._target, self._journal, seconds=_LEASE + 10 * self._look)
        self._journal = asking or self._journal
        return asking is not None

    def _asked_so_far(self, verdict: Verdict) -> int:
        return verdict.findings[0].n or 0

    def record(self, outcome: str, findings: tuple[Finding, ...], moved: Moved | None = None) -> Record:
        """What the trial leaves behind."""
        journal, pointer = self._journal, read_pointer(self._folder)
        compared = self._seen.evidence.get("canary.errors", Evidence())
        facts = {
            "environment": journal.environment,
            "family": journal.family,
            "kind": journal.kind,
            "outcome": outcome,
            "tried": journal.release,
            "release": pointer.live if pointer else None,
            "previous": pointer.previous if pointer else None,
            "changed": moved is not None,
            "workers": moved.workers if moved else 0,
            "share": journal.share,
            "requests": compared.n,
            "live_requests": compared.beside,
            "who": journal.who,
            "reason": journal.reason,
        }
        verdict = Verdict(gate="deploy", subject=journal.release, findings=findings) if findings else None
        took = time.monotonic() - self._started
        return Record(step="deploy", subject=journal.environment, seconds=took, facts=facts, verdict=verdict)

    def _looked(self, spent: float) -> Verdict:
        self._journal = journal = msgspec.structs.replace(self._journal, spent=spent)
        tallies = read_tallies(self._folder, journal.trial)
        died = trying.died(self._folder, {one.worker: one.pid for one in tallies if not one.left})
        if journal.kind == "shadow":
            compared = Compared()
            for one in tallies:
                compared.add(one.shadow)
            findings = gate.compared(compared, died=died, subject=journal.release)
        else:
            self._seen = gate.looked(self._seen, *self._totals(tallies))
            self._journal = msgspec.structs.replace(journal, seen=msgspec.Raw(msgspec.json.encode(self._seen)))
            trying.keep_if_on(self._target, self._journal)
            findings = gate.judged(self._seen, subject=journal.release, died=died)
        return Verdict(gate="deploy", subject=journal.release, findings=apply(findings, self._settings()))

    def _totals(self, tallies: tuple[Tally, ...]) -> tuple[Counts, Counts]:
        return total(tallies, self._journal.release), total(tallies, self._journal.live)

    def _settings(self) -> dict[str, str]:
        named = self._workspace.config.severity
        return {check: severity for check, severity in named.items() if check.startswith("canary.")}

    def _told(self, verdict: Verdict) -> Look:
        return Look(
            kind=self._journal.kind,
            release=self._journal.release,
            seconds=self._journal.spent,
            of=self._journal.seconds,
            requests=self._asked_so_far(verdict),
            findings=verdict.findings,
        )

    def _rolled_back(self, verdict: Verdict) -> Record:
        worst = verdict.fired[0]
        trying.end(self._target, self._journal, f"{ROLLED_BACK}: {worst.check}: {worst.message}", _sentences(verdict))
        return self.record(ROLLED_BACK, verdict.findings)

    def _over(self, verdict: Verdict) -> Record:
        if self._journal.kind == "shadow":
            trying.end(self._target, self._journal, COMPARED, _sentences(verdict))
            return self.record(COMPARED, verdict.findings)
        if not verdict.accepted:
            doubt = verdict.fired[0]
            trying.hold(self._target, self._journal, f"{doubt.check}: {doubt.message}", _sentences(verdict))
            return self.record(HELD, verdict.findings)
        journal = self._journal
        order = Order(
            action="deploy", family=journal.family, release=journal.release, who=journal.who, reason=journal.reason
        )
        moved = trying.promote(self._target, journal, order, _sentences(verdict))
        return self._ended() if moved is None else self.record(PROMOTED, verdict.findings, moved)

    def _ended(self) -> Record:
        trying.end(self._target, self._journal, f"{ENDED}: somebody moved the pointer meanwhile")
        return self.record(ENDED, ())


def _harmful(verdict: Verdict) -> bool:
    """Whether a shadow, which answers nobody, harms those who are answered."""
    return any(one.check == "canary.workers" and one.outcome is Outcome.FAIL for one in verdict.findings)


def _sentences(verdict: Verdict) -> tuple[str, ...]:
    return tuple(f"{one.check} {one.outcome.value}: {one.message}" for one in verdict.findings)
