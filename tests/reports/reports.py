"""A report with one finding of each kind, for every format."""

from __future__ import annotations

from mlops.verdict import Finding, Outcome, Record, Report, Severity, Verdict

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


def report(*findings: Finding, step: str = "check-model") -> Report:
    verdict = Verdict(gate=step, subject="churn_v2", findings=findings or (FLOOR, DRIFT, LEFT_OUT, FINE))
    records = (
        Record(step="snapshot", subject="customers", metrics={"rows": 600.0}, seconds=0.05, reused=True),
        Record(
            step=step,
            subject="churn_v2",
            verdict=verdict,
            metrics={"roc_auc": 0.3125},
            facts={"metric": "roc_auc"},
            seconds=75.0,
        ),
    )
    return Report(command="run", records=records, releases=("churn_v2-aaaa",), deployed={"staging": "churn_v2-aaaa"})
