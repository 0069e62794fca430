"""A report with one finding of each kind, and exhibits of each kind, for every format."""

from __future__ import annotations

import math

from mlops.exhibits import Exhibit, Plot, Series, Table
from mlops.verdict import Finding, Outcome, Override, Record, Report, Severity, Verdict

FLOOR = Finding(
    check="model.floor",
    outcome=Outcome.FAIL,
    message="roc_auc is below the floor",
    subject="churn_v2",
    measured=0.3125,
    threshold=0.4,
    n=9874,
    interval=(0.28, 0.34),
    next_step="collect more rows",
)
DRIFT = Finding(check="data.value_skew", outcome=Outcome.FAIL, severity=Severity.RETRAIN, message="amount moved")
LEFT_OUT = Finding(check="model.champion", outcome=Outcome.SKIPPED, message="first release")
FINE = Finding(check="model.finite", outcome=Outcome.PASS, message="all answers are finite")
SEGMENT = Finding(
    check="model.segment",
    outcome=Outcome.FAIL,
    severity=Severity.WARN,
    message="weaker than the other rows",
    segment="channel = 'online'",
    measured=0.61,
    threshold=0.7,
    n=212,
    rows=(3, 17, 44),
    next_step="look at these rows",
)
UNSURE = Finding(
    check="model.baseline",
    outcome=Outcome.INSUFFICIENT,
    message="132 rows cannot tell it from a constant",
    next_step="hold out 600 rows",
    n=132,
)
OVERRIDE = Override(
    gate="model.leakage",
    until="2026-12-01",
    reason="the column is known at the request, see issue 12",
    who="ada@lab",
    at="2026-11-21T10:00:00+00:00",
)
LET_PASS = Finding(
    check="model.leakage",
    outcome=Outcome.OVERRIDDEN,
    found=Outcome.FAIL,
    override=OVERRIDE,
    message="'balance' alone tells the label",
    subject="balance",
    measured=0.97,
    threshold=0.95,
    next_step="leave the column out",
)
EVERY = (FLOOR, DRIFT, SEGMENT, UNSURE, LET_PASS, LEFT_OUT, FINE)


def report(*findings: Finding, step: str = "check-model") -> Report:
    verdict = Verdict(gate=step, subject="churn_v2", findings=findings or (FLOOR, DRIFT, LEFT_OUT, FINE))
    records = (
        Record(step="snapshot", subject="customers", metrics={"rows": 600.0}, seconds=0.05, reused=True, key="ab" * 32),
        Record(
            step=step,
            subject="churn_v2",
            verdict=verdict,
            outputs={"predictions": "cd" * 32},
            metrics={"roc_auc": 0.3125},
            facts={"metric": "roc_auc"},
            seconds=75.0,
        ),
    )
    return Report(
        command="run",
        records=records,
        releases=("churn_v2-aaaa",),
        deployed={"churn_v2-aaaa": "staging"},
        about={"commit": "0123abcd", "by": "ada@lab", "at": "2026-11-21 10:00:00 UTC"},
    )


def exhibits() -> dict[str, tuple[Exhibit, ...]]:
    """One of each kind, as `check-model` and `check-data` give them."""
    steps = [i / 20 for i in range(21)]
    curve = tuple(round(math.sqrt(x), 4) for x in steps)
    lower = tuple(round(x**0.8, 4) for x in steps)
    metrics = Table(
        title="Metrics",
        caption="Every metric of the task on 1,200 held-out rows, beside the champion; greater is better.",
        columns=("metric", "challenger", "from", "to", "champion", "from", "to"),
        rows=(("roc_auc", 0.91234, 0.89, 0.93, 0.905, 0.88, 0.92), ("f1", 0.71, None, None, 0.7, None, None)),
    )
    roc = Plot(
        title="ROC",
        caption="How many positives are found, against how many others are taken for them.",
        kind="lines",
        x_label="false positive rate",
        y_label="true positive rate",
        series=(Series(name="challenger", x=tuple(steps), y=curve), Series(name="champion", x=tuple(steps), y=lower)),
        diagonal=True,
        group="Curves",
    )
    bins = tuple(steps[1::2])
    reliability = Plot(
        title="Reliability",
        caption="What happened against what the probabilities said.",
        kind="lines",
        x_label="predicted probability",
        y_label="share that came true",
        series=(
            Series(
                name="challenger",
                x=bins,
                y=bins,
                low=tuple(max(b - 0.06, 0) for b in bins),
                high=tuple(min(b + 0.06, 1) for b in bins),
            ),
        ),
        diagonal=True,
        group="Curves",
    )
    importance = Plot(
        title="Importance",
        caption="What the metric loses when a column is shuffled.",
        kind="bars",
        x_label="column",
        y_label="loss of roc_auc",
        series=(
            Series(
                name="loss",
                x=("amount", "visits", "a column with quite a long name of its own", "city"),
                y=(0.21, 0.08, 0.03, 0.001),
                low=(0.19, 0.07, 0.02, 0.0),
                high=(0.23, 0.09, 0.04, 0.002),
            ),
        ),
        group="Columns",
    )
    cloud = Plot(
        title="Predicted and true",
        caption="Each point is a held-out row.",
        kind="points",
        x_label="true amount",
        y_label="predicted amount",
        series=(
            Series(
                name="rows",
                x=tuple(float(i % 97) for i in range(3000)),
                y=tuple(float(i % 97) + (i * 7 % 13) - 6 for i in range(3000)),
            ),
        ),
        diagonal=True,
        group="Columns",
    )
    return {"check-model:churn_v2": (metrics, roc, reliability, importance, cloud), "check-data:churn_v2": (metrics,)}
