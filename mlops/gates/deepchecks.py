"""Which checks of deepchecks apply to what is at hand, and what their answers mean.

Each check gives one finding. A check that does not apply is skipped with its reason, one by one; a check that
was asked for and gave no answer did not run, and that stops.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from mlops.gates.deepchecks_specs import SPECS, Need, Spec, Suite
from mlops.verdict import Finding, Outcome, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the table at hand has; it decides which checks apply. `task` is "" where no model reads a label."""

    task: str = ""
    timestamp: bool = False
    key: bool = False
    probabilities: bool = False

    def lacks(self, need: Need) -> str:
        """Why a check with this need does not apply, "" when it does."""
        missing: dict[Need, tuple[bool, str]] = {
            "label": (self.task != "", "no model reads a label from this table"),
            "classes": (self.task in ("binary", "multiclass"), "the label is not a class"),
            "amounts": (self.task == "regression", "the label is not an amount"),
            "timestamp": (self.timestamp, "its sides are not split by time"),
            "no timestamp": (
                not self.timestamp,
                "rows are split by time, so whatever only follows time is of no use on the held-out rows",
            ),
            "key": (self.key, "the schema declares no unique key of one column"),
            "probabilities": (
                self.probabilities or self.task == "regression",
                "the model gives no probabilities (no predict_proba)",
            ),
            "estimator": (False, "it needs the estimator, which never leaves our process"),
            "condition": (False, "it draws a figure and judges nothing"),
            "harm": (False, "columns that go together do no harm; one that tells the label does, and is looked for"),
        }
        applies, reason = missing[need]
        return "" if applies else reason


class Condition(Protocol):
    """What one condition of a check said: `category` is PASS, WARN, FAIL or ERROR."""

    @property
    def name(self) -> str:
        """What was asked."""

    @property
    def category(self) -> str:
        """PASS, WARN, FAIL or ERROR."""

    @property
    def details(self) -> str:
        """What was found."""


class Answer(Protocol):
    """What one check said; `error` is why it did not run."""

    @property
    def check(self) -> str:
        """The check, by deepchecks' name."""

    @property
    def conditions(self) -> tuple[Any, ...]:
        """What each of its conditions said."""

    @property
    def value(self) -> float | None:
        """The measured number, where there is one."""

    @property
    def column(self) -> str:
        """The column that it was measured of, where it is the worst of many."""

    @property
    def error(self) -> str:
        """Why it did not run; empty when it did."""


def asked(suite: Suite, situation: Situation) -> tuple[Spec, ...]:
    """The checks of a suite that apply."""
    return tuple(s for s in SPECS if s.suite == suite and not _irrelevant(s, situation))


def job_checks(specs: Iterable[Spec]) -> list[dict[str, Any]]:
    """Checks in the form in which deepchecks' process takes them."""
    return [
        {
            "check": spec.check,
            "params": dict(spec.params),
            "conditions": [[name, dict(options)] for name, options in spec.conditions],
            "on": spec.on,
        }
        for spec in specs
    ]


def skipped(suite: Suite, reason: str) -> tuple[Finding, ...]:
    """One skipped finding per check of a suite, all for the same reason."""
    return tuple(_skip(spec, reason) for spec in SPECS if spec.suite == suite)


def findings(
    suite: Suite, situation: Situation, answers: Iterable[Answer], *, subject: str, n: int, of: int
) -> tuple[Finding, ...]:
    """One finding per check of the suite, in its order; `n` rows of `of` were looked at."""
    by_name = {answer.check: answer for answer in answers}
    found = []
    for spec in SPECS:
        if spec.suite != suite:
            continue
        reason = _irrelevant(spec, situation)
        if reason:
            found.append(_skip(spec, reason))
        else:
            found.append(_finding(spec, by_name.get(spec.check), subject, n, of))
    return tuple(found)


def _irrelevant(spec: Spec, situation: Situation) -> str:
    return next((reason for need in spec.needs if (reason := situation.lacks(need))), "")


def _skip(spec: Spec, reason: str) -> Finding:
    return Finding(check=spec.name, outcome=Outcome.SKIPPED, severity=spec.severity, message=reason)


def _finding(spec: Spec, answer: Answer | None, subject: str, n: int, of: int) -> Finding:
    if answer is not None and spec.excused is not None and spec.excused[0] in answer.error:
        return _skip(spec, spec.excused[1])
    if answer is None or answer.error or not answer.conditions or _crashed(answer):
        return Finding(
            check=spec.name,
            outcome=Outcome.NOT_RUN,
            severity=Severity.FAIL,
            subject=subject,
            message=f"{spec.check} did not run: {_why_not(answer)}",
            next_step=f'if you can do without it, say so: [tool.mlops.severity] "{spec.name}" = "warn"',
            n=n,
        )
    broken = [condition for condition in answer.conditions if condition.category != "PASS"]
    column = answer.column if broken else ""
    return Finding(
        check=spec.name,
        outcome=Outcome.FAIL if broken else Outcome.PASS,
        severity=spec.severity,
        subject=column or subject,
        message=_sentence(broken or answer.conditions, wanted=bool(broken), n=n, of=of),
        measured=answer.value,
        threshold=_threshold(spec),
        n=n,
        next_step=spec.next_step.replace("[COLUMN]", f"['{column}']" if column else "[…]") if broken else "",
    )


def _sentence(conditions: Iterable[Condition], *, wanted: bool, n: int, of: int) -> str:
    """What was found, what was `wanted` instead, and of how many rows, on one line."""
    said = "; ".join(
        f"{condition.details} (wanted: {condition.name.rstrip('.')})" if wanted else condition.details or condition.name
        for condition in conditions
    )
    sample = f" (a sample of {n:,} of {of:,} rows)" if n < of else ""
    return " ".join(said.split()) + sample


def _crashed(answer: Answer) -> bool:
    return any(condition.category == "ERROR" for condition in answer.conditions)


def _why_not(answer: Answer | None) -> str:
    if answer is None:
        return "it gave no answer"
    if answer.error:
        return answer.error
    return "; ".join(c.details for c in answer.conditions if c.category == "ERROR") or "it judged nothing"


def _threshold(spec: Spec) -> float | str | None:
    """The first condition's number, or its range in words."""
    options = [value for _, given in spec.conditions[:1] for value in given.values()]
    if not options:
        return None
    return float(options[0]) if isinstance(options[0], int | float) else " to ".join(str(end) for end in options[0])
