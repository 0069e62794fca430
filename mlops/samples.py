"""What an experiment compares, and the sample that it takes: each decision's unit and value, out of its outcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlops import outcomes
from mlops.contract import Contract
from mlops.errors import InsufficientEvidence, UsageError
from mlops.gates.experiment import Better
from mlops.gates.outcomes import Rule
from mlops.statistics import effect as statistics
from mlops.statistics.effect import Arm

if TYPE_CHECKING:
    import pandas as pd

    from mlops.workspace import Workspace

ERROR = "error"
"""The metric that needs no column: wrong labels as a share, or a regression's mean absolute error."""

PAST = timedelta(days=30)
"""How far back the live release's decisions tell what is to be expected."""

_LEAST_PAST = 100
_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is agreed before it begins. `effect` is the least difference that matters, in the metric's own unit.

    `baseline` is the live release's metric and `spread` the standard deviation of one value, where its past decisions
    do not tell them. `level` is how many experiments without a difference may find one, `power` how many with one do.
    """

    effect: float
    metric: str = ERROR
    better: Better = "lower"
    share: float = 0.5
    seconds: float = 14 * _DAY
    level: float = 0.05
    power: float = 0.8
    baseline: float | None = None
    spread: float | None = None

    def __post_init__(self) -> None:
        for name in ("share", "level", "power"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise UsageError(
                    f"{name} is between 0 and 1, not {getattr(self, name):g}", next_step=f"for example --{name} 50%"
                )
        if not self.effect > 0.0:
            raise UsageError("an effect is more than 0", next_step="say the least difference that matters: --effect 2%")


def stated(workspace: Workspace, environment: str, live: str, plan: Plan) -> dict[str, Any]:
    """The sample that it takes, before anything begins; raises where it cannot be told, or cannot be had in time."""
    past, daily, rule = _past(workspace, environment, live, plan)
    known = past.n >= _LEAST_PAST
    shares = plan.metric == ERROR and rule.contract.task != "regression"
    baseline = plan.baseline if plan.baseline is not None else past.mean if known else None
    spread = plan.spread**2 if plan.spread is not None else past.spread if known else None
    if shares and baseline is not None:
        spread = baseline * (1.0 - baseline)
    lacking = "--baseline 10%" if shares else "--spread 12.5"
    if spread is None or (shares and baseline is None):
        raise InsufficientEvidence(
            f"nobody knows {plan.metric!r} of {live}: {past.n} of its decisions have their outcome, "
            f"it takes {_LEAST_PAST}",
            next_step=f"wait for outcomes, or say what you expect: {lacking}",
        )
    if not spread > 0.0:
        raise UsageError(f"{plan.metric!r} of {live} never varies", next_step=f"say what you expect: {lacking}")
    inflation = past.inflation if known else 1.0
    ours, theirs = statistics.needed(
        effect=plan.effect, spread=spread * inflation, share=plan.share, level=plan.level, power=plan.power
    )
    days = max(ours / (daily * plan.share), theirs / (daily * (1.0 - plan.share))) if daily else None
    if days is not None and days * _DAY > plan.seconds:
        raise InsufficientEvidence(
            f"it takes {ours:,} outcomes of the challenger and {theirs:,} of the live release; at {daily:,.0f} a day "
            f"that is {days:.0f} days, and it is planned for {plan.seconds / _DAY:g}",
            next_step=f"plan for longer (--for {int(days) + 1}d), or look for a larger effect",
        )
    return {
        "metric": plan.metric,
        "better": plan.better,
        "effect": plan.effect,
        "share": plan.share,
        "level": plan.level,
        "power": plan.power,
        "baseline": baseline,
        "inflation": round(inflation, 2),
        "needed_challenger": ours,
        "needed_live": theirs,
        "labels_a_day": daily,
        "days_needed": days,
        "days": plan.seconds / _DAY,
        "label_delay_days": rule.delay.total_seconds() / _DAY,
    }


def _past(workspace: Workspace, environment: str, live: str, plan: Plan) -> tuple[Arm, float | None, Rule]:
    """The live release's metric over its last days, and how many labels come a day; None where nobody can know."""
    now = datetime.now(UTC)
    also = () if plan.metric == ERROR else (plan.metric,)
    rule = outcomes.rule_of(workspace, live)
    found = outcomes.joined(workspace, environment, live, since=now - PAST - rule.delay, now=now, also=also)
    rows = found.rows[(found.rows["arm"] != "shadow") & found.rows["mature"]]
    asked = len(rows)
    told = values(rows, plan.metric, rule.contract)
    known = rows[told.notna() & (rows["release"] == live)]
    past = statistics.arm(
        told[known.index].to_numpy("float64"), units(known, rule.contract).factorize()[0].astype("int64")
    )
    if asked < _LEAST_PAST:
        return past, None, rule
    span = max((now - rule.delay - rows["at"].min()).total_seconds(), 60.0)
    return past, float(told.notna().sum()) / span * _DAY or None, rule


def values(rows: pd.DataFrame, metric: str, contract: Contract) -> pd.Series:
    """The metric of each decision; missing where its label has not come."""
    import pandas as pd

    if metric != ERROR:
        return pd.to_numeric(rows[metric], errors="coerce").where(rows["label"].notna())
    if contract.task == "regression":
        return (rows["prediction"].astype("float64") - rows["label"].astype("float64")).abs()
    return (rows["prediction"] != rows["label"]).astype("float64").where(rows["label"].notna())


def units(rows: pd.DataFrame, contract: Contract) -> pd.Series:
    """By what workers deal requests out, in their words: the entities together, or the request where there are none."""
    names = [f"request.{name}" for name in contract.entities]
    if not names or rows.empty:
        return rows["request_id"]
    joined = rows[names[0]].map(_told)
    for name in names[1:]:
        joined = joined + "\0" + rows[name].map(_told)
    return joined


def _told(value: Any) -> str:
    """An entity's key as it was in the request: a column with gaps has whole numbers as fractions."""
    if value is None or value != value:  # noqa: PLR0124  # NaN is not itself
        return "None"
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)
