"""Counts of a canary that is as the live release beside it, and of canaries that are worse in one way each."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial

from mlops.faults.bench import Bench
from mlops.faults.case import Case, Reaction, sound
from mlops.gates import canary as gate
from mlops.serving.tally import Compared, Counts, chance_bin, latency_bin
from mlops.verdict import Finding

_LOOKS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arm:
    """What of a hundred requests fail, are refused or not finite, how slow each is, and what it is answered."""

    errors: int = 0
    refused: int = 0
    non_finite: int = 0
    seconds: float = 0.01
    label: str = "0"
    chance: float = 0.1


_SOUND = _Arm()


def cases(bench: Bench) -> Generator[Case]:
    """Each fault at a quarter of the requests."""
    subject = bench.model.name
    judge = partial(_judged, subject)
    asked = Compared(same=gate.LEAST)
    failing = Compared(same=gate.LEAST - 1, failed=1)
    other = Compared(same=gate.LEAST - 1, different=1, gap=0.4, gaps=0.4)
    yield sound(lambda: [*judge(_SOUND), *gate.compared(asked, died=0, subject=subject)])
    yield Case(fault="one request in ten fails", check="canary.errors", judge=partial(judge, _Arm(errors=10)))
    yield Case(fault="one request in ten is refused", check="canary.refusals", judge=partial(judge, _Arm(refused=10)))
    yield Case(fault="NaN in ten", check="canary.non-finite", judge=partial(judge, _Arm(non_finite=10)))
    yield Case(fault="ten times as slow", check="canary.latency", judge=partial(judge, _Arm(seconds=0.1)))
    yield Case(
        fault="every answer is the other one",
        check="canary.predictions",
        judge=partial(judge, _Arm(label="1", chance=0.9)),
    )
    yield Case(fault="a worker dies of it", check="canary.workers", judge=partial(judge, _SOUND, died=1))
    yield Case(fault="it cannot be loaded", check="canary.ready", judge=partial(gate.not_ready, "no", subject=subject))
    yield Case(
        fault="a shadow fails", check="canary.shadow", judge=partial(gate.compared, failing, died=0, subject=subject)
    )
    yield Case(
        fault="a shadow answers otherwise",
        check="canary.difference",
        judge=partial(gate.compared, other, died=0, subject=subject),
        expected=Reaction.WARNS,
    )


def _judged(subject: str, arm: _Arm, *, died: int = 0) -> tuple[Finding, ...]:
    seen, canary, live = gate.Seen(), Counts(), Counts()
    for _ in range(_LOOKS):
        canary.add(_answered(arm, 100))
        live.add(_answered(_SOUND, 300))
        seen = gate.looked(seen, canary, live)
    return gate.judged(seen, subject=subject, died=died)


def _answered(arm: _Arm, n: int) -> Counts:
    """The counts of `n` requests."""
    errors, refused, non_finite = (n * share // 100 for share in (arm.errors, arm.refused, arm.non_finite))
    fine = n - errors - refused - non_finite
    return Counts(
        requests=n,
        errors=errors,
        refused=refused,
        non_finite=non_finite,
        latency={latency_bin(arm.seconds): fine},
        labels={arm.label: fine},
        numbers={chance_bin(arm.chance): fine},
    )
