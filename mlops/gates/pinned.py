"""Judges whether the features that retained releases read are still there, and still what these were made of.

A release that can be returned to is only worth that if its features are computed as they were for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from mlops.verdict import Finding, Outcome, Severity

_DIFF_LINES = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A release that an environment retains: it is live there, or kept for a rollback."""

    release: str
    environment: str
    live: bool

    def __str__(self) -> str:
        return f"{self.release} ({'live' if self.live else 'kept for a rollback'} in {self.environment})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A feature that is not what releases pin: edited, or gone where `origin` is "".

    `pinned` is the digest that they pin, `source` the release's own file that holds it, `diff` from there to here, and
    `successor` the next free version of the feature.
    """

    name: str
    pinned: str
    holders: tuple[Holder, ...]
    origin: str
    source: str
    diff: str
    successor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A retained release that cannot be read, and why."""

    holder: Holder
    reason: str


def judge(changed: Sequence[Changed], unknown: Iterable[Unknown] = ()) -> tuple[Finding, ...]:
    """A finding for each pinned feature that was changed, and for each release that cannot be read; else a pass."""
    findings = [_edited(one) if one.origin else _gone(one) for one in changed]
    findings += [_unread(one) for one in unknown]
    if any(found.severity is Severity.FAIL for found in findings):
        return tuple(findings)
    message = "every feature that a retained release reads is what it was made of"
    return (*findings, Finding(check="features.pinned", outcome=Outcome.PASS, message=message))


def _edited(one: Changed) -> Finding:
    lines = one.diff.splitlines()
    more = [f"… {len(lines) - _DIFF_LINES} more lines"] if len(lines) > _DIFF_LINES else []
    return Finding(
        check="features.pinned",
        outcome=Outcome.FAIL,
        message=f"{one.origin}: {one.name}, or what it calls, was edited; pinned as it was by {_named(one.holders)}",
        subject=one.name,
        next_step=f"put it back, and write {one.successor} beside it for the models that want the change",
        detail="\n".join([*lines[:_DIFF_LINES], *more]),
    )


def _gone(one: Changed) -> Finding:
    back = f"put it back (its source is in {one.source})" if one.source else "put it back"
    live = [holder for holder in one.holders if holder.live]
    first = f"deploy a release that does not read it to {live[0].environment}, then " if live else ""
    given_up = "; ".join(
        f"mlops features prune {place} " + " ".join(f"--retire {holder.release}" for holder in some)
        for place, some in groupby(sorted(one.holders, key=_place), key=_place)
    )
    return Finding(
        check="features.pinned",
        outcome=Outcome.FAIL,
        message=f"{one.name} is gone, but read by {_named(one.holders)}",
        subject=one.name,
        next_step=f"{back}; or {first}give that release up: `{given_up}`",
    )


def _unread(one: Unknown) -> Finding:
    """What is live must be known; what is merely kept cannot be returned to anyway."""
    return Finding(
        check="features.pinned",
        outcome=Outcome.NOT_RUN if one.holder.live else Outcome.FAIL,
        severity=Severity.FAIL if one.holder.live else Severity.WARN,
        message=f"what {one.holder} pins is not known: {one.reason}",
        subject=one.holder.release,
        next_step=f"restore its folder from a copy, or give it up: `mlops features prune {one.holder.environment} "
        f"--retire {one.holder.release}`",
    )


def _named(holders: Sequence[Holder]) -> str:
    shown = " and ".join(map(str, holders[:2]))
    return shown + (f" and {len(holders) - 2} more" if len(holders) > 2 else "")


def _place(holder: Holder) -> str:
    return holder.environment
