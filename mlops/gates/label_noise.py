"""Judges whether a table's labels can be trusted, by what models say of rows that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.statistics.label_noise import EXTREME, LEAST_ROWS, Contradicted, wilson
from mlops.verdict import Finding, Outcome, Severity

CHECK = "data.label_noise"
MOST_WRONG = 0.02
"""The share of wrong labels that is borne: honest tables lie below, with their whole interval or nearly so."""

MOST_EXTREME = 0.005
"""The share of extreme numbers that is borne in the label of a regression."""

_SHOWN = 10


def judge_contradicted(found: Contradicted, suspicious: Sequence[int], *, model: str, n: int, of: int) -> Finding:
    """Whether the surest answers are contradicted by more labels than is borne; `suspicious` rows, worst first."""
    low, high = found.interval
    share = f"{found.share:.1%} of the labels ({low:.1%} to {high:.1%})"
    where = f"where a model is surest ({found.anchors:,} of {n:,} rows{_sampled(n, of)})"
    if not found.decided:
        message = (
            f"wrong labels cannot be told from classes that overlap: even in the surer half of {n:,} rows"
            f"{_sampled(n, of)}, {found.surer_half:.1%} of the labels are not what the inputs suggest"
        )
        return _finding(Outcome.SKIPPED, message, n=n)
    wrong = low > MOST_WRONG
    message = f"{share} contradict what the inputs say {where}"
    if wrong:
        message += f"; {len(suspicious):,} rows look mislabelled"
    return _finding(
        Outcome.FAIL if wrong else Outcome.PASS,
        message,
        n=n,
        measured=found.share,
        threshold=MOST_WRONG,
        interval=found.interval,
        rows=suspicious if wrong else (),
        model=model if wrong else "",
    )


def judge_extreme(extreme: Sequence[int], *, model: str, n: int, of: int) -> Finding:
    """Whether more labels of a regression are out of all proportion than is borne; `extreme` rows, worst first."""
    interval = wilson(len(extreme), n)
    wrong = interval[0] > MOST_EXTREME
    share = f"{len(extreme) / n:.2%} of the labels ({interval[0]:.2%} to {interval[1]:.2%})"
    message = (
        f"{share} lie {EXTREME:g} and more robust deviations from what the inputs say ({n:,} rows{_sampled(n, of)})"
    )
    return _finding(
        Outcome.FAIL if wrong else Outcome.PASS,
        message,
        n=n,
        measured=len(extreme) / n,
        threshold=MOST_EXTREME,
        interval=interval,
        rows=extreme if wrong else (),
        model=model if wrong else "",
    )


def skipped(reason: str) -> Finding:
    """The skip where labels cannot be looked at."""
    return _finding(Outcome.SKIPPED, reason)


def too_few(rows: int) -> Finding:
    """The skip of a table that is too small to say anything."""
    return skipped(f"{rows:,} rows are too few to find wrong labels; {LEAST_ROWS:,} can tell")


def _sampled(n: int, of: int) -> str:
    return f", drawn from {of:,}" if n < of else ""


def _finding(
    outcome: Outcome,
    message: str,
    *,
    n: int | None = None,
    measured: float | None = None,
    threshold: float | None = None,
    interval: tuple[float, float] | None = None,
    rows: Sequence[int] = (),
    model: str = "",
) -> Finding:
    step = f"`mlops review {model}` writes them into reviews/labels-{model}.csv; correct there what is wrong"
    return Finding(
        check=CHECK,
        outcome=outcome,
        severity=Severity.WARN,
        message=message,
        n=n,
        measured=measured,
        threshold=threshold,
        interval=interval,
        rows=tuple(int(row) for row in rows[:_SHOWN]),
        next_step=step if model else "",
    )
