"""What came of decisions: labels that arrived later, joined to the decisions that they are about.

By `request_id` (and `row`, where requests have several), or by the entity keys and the time: the label of an event is
the one of the decision about these entities that lies nearest to it, or whose request bore that very time.

A decision counts from `delay` on, the time after which its label is known by declaration. Labels that come before are
those that come fast, and these are of one kind: complaints come within days, and nobody complains that all was well. So
they wait until the others may have come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlops.contract import Contract
from mlops.errors import ConfigError
from mlops.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd

LABEL, MATURE, REQUEST, ROW, AT = "label", "mature", "request_id", "row", "at"
_SHOWN = 5
_DECISION = "decision"  # the place of a decision in its table, while outcomes are joined


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How outcomes are joined: the source's name, the label's delay, how far an event may lie from its decision."""

    source: str
    contract: Contract
    delay: timedelta
    within: timedelta = timedelta(hours=1)


def joined(
    decisions: pd.DataFrame, outcomes: pd.DataFrame, rule: Rule, *, now: datetime, also: Sequence[str] = ()
) -> tuple[pd.DataFrame, tuple[Finding, ...]]:
    """The decisions with `label`, `mature` and the columns `also` of the source, and what was found on the way.

    `decisions` is what `mlops.decisions.read` gives. `label` is text where the model answers labels, float64 in a
    regression; it is missing where none has come, where it contradicts another, and where the decision is not `mature`
    at `now`. Of decisions with the same request, row and arm the first counts, and is there once.
    Raises ConfigError where the source lacks the columns to join by.
    """
    told: list[Finding] = []
    kept = _once(decisions, rule, told)
    labels = _labels(outcomes, rule, told, also)
    pairs = _by_request(kept, labels, rule, told) if REQUEST in labels else _by_entity(kept, labels, rule)
    known = _undoubted(pairs, rule, told, also).set_index(_DECISION)
    for name in (LABEL, *also):
        kept[name] = known[name].reindex(kept.index)
    kept[MATURE] = (kept[AT] <= now - rule.delay).to_numpy()
    kept.loc[~kept[MATURE], [LABEL, *also]] = None
    told.append(_found(kept, rule))
    return kept, tuple(told)


def _once(decisions: pd.DataFrame, rule: Rule, told: list[Finding]) -> pd.DataFrame:
    again = decisions.duplicated([REQUEST, ROW, "arm"])
    told.append(
        _finding(
            "outcomes.repeated",
            f"{int(again.sum())} decisions bear the id of an earlier request; the earlier one counts"
            if again.any()
            else "every request has an id of its own",
            rule,
            fired=Severity.WARN if again.any() else None,
            rows=decisions[REQUEST][again],
            step="let callers send an X-Request-Id that is new for each request, or none",
        )
    )
    return decisions[~again].reset_index(drop=True)


def _labels(outcomes: pd.DataFrame, rule: Rule, told: list[Finding], also: Sequence[str]) -> pd.DataFrame:
    """The outcomes that have a label, which is one of the model's, as the decision log writes it."""
    label = rule.contract.label
    for name in (label, *also):
        if name not in outcomes:
            raise ConfigError(
                f"the outcomes in {rule.source!r} have no column {name!r}; they have {', '.join(map(str, outcomes))}",
                next_step=f"name the source that has it: [tool.mlops.models.{rule.contract.model}] outcomes",
            )
    some = outcomes[outcomes[label].notna()].reset_index(drop=True)
    if rule.contract.task == "regression":
        some[LABEL] = some[label].astype("float64")
        return some
    known: dict[Any, str] = {one: str(one) for one in rule.contract.classes}
    some[LABEL] = some[label].map(lambda value: known.get(value, known.get(_number(value))))
    odd = some[LABEL].isna()
    classes = ", ".join(known.values())
    told.append(
        _finding(
            "outcomes.label",
            f"{int(odd.sum())} outcomes are no label of the model ({classes}), such as {some[label][odd].iloc[0]!r}"
            if odd.any()
            else f"every outcome is one of {classes}",
            rule,
            fired=Severity.FAIL if odd.any() else None,
            rows=some[REQUEST][odd] if REQUEST in some else some.index[odd],
            step="write labels as the training data has them",
        )
    )
    return some[~odd].reset_index(drop=True)


def _by_request(kept: pd.DataFrame, labels: pd.DataFrame, rule: Rule, told: list[Finding]) -> pd.DataFrame:
    left = kept[[REQUEST, ROW]].rename_axis(_DECISION).reset_index()
    right = labels.assign(**{REQUEST: labels[REQUEST].astype(str)})
    if ROW in labels:
        return left.merge(right, on=[REQUEST, ROW])
    several = kept.groupby([REQUEST, "arm"])[ROW].transform("size").to_numpy() > 1
    unclear = several & left[REQUEST].isin(right[REQUEST]).to_numpy()
    told.append(
        _finding(
            "outcomes.rows",
            f"{int(unclear.sum())} decisions are of requests with several rows, and the outcomes do not say which"
            if unclear.any()
            else "every request has one row",
            rule,
            fired=Severity.WARN if unclear.any() else None,
            rows=left[REQUEST][unclear],
            step=f"add a column {ROW!r} to the outcomes: the row of the request, from 0",
        )
    )
    return left[~several].merge(right, on=REQUEST)


def _by_entity(kept: pd.DataFrame, labels: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    import pandas as pd

    contract, time = rule.contract, rule.contract.timestamp
    entities = [name for name in contract.entities if name in labels]
    if not entities or time is None or time not in labels:
        wanted = " and ".join([*contract.entities, time or "the model's timestamp"])
        raise ConfigError(
            f"the outcomes in {rule.source!r} cannot be joined: they have neither {REQUEST!r} nor {wanted}",
            next_step=f"add {REQUEST!r} to them: every answer bears it",
        )
    if kept.empty:
        return labels.assign(**{_DECISION: None})[:0]
    lacking = [name for name in entities if f"request.{name}" not in kept]
    if lacking:
        raise ConfigError(
            f"decisions are kept without {lacking[0]!r}, by which outcomes are joined",
            next_step=f"take it out of `omit` in the environment's decisions, or add {REQUEST!r} to the outcomes",
        )
    left = pd.DataFrame({name: _key(kept[f"request.{name}"]) for name in entities})
    right = labels.assign(**{name: _key(labels[name]) for name in entities})
    asked = f"request.{time}"
    left["_at"] = _naive(kept[asked] if asked in kept else kept[AT])
    left[_DECISION] = left.index
    right["_at"] = _naive(labels[time])
    if asked in kept:
        return left.merge(right, on=[*entities, "_at"])
    arms = [
        pd.merge_asof(
            right.sort_values("_at", kind="stable"),
            left[(kept["arm"] == arm).to_numpy()].sort_values("_at", kind="stable"),
            on="_at",
            by=entities,
            direction="nearest",
            tolerance=pd.Timedelta(rule.within),
        )
        for arm in kept["arm"].unique()
    ]
    pairs = pd.concat(arms)
    pairs = pairs[pairs[_DECISION].notna()]
    return pairs.assign(**{_DECISION: pairs[_DECISION].astype("int64")})


def _undoubted(pairs: pd.DataFrame, rule: Rule, told: list[Finding], also: Sequence[str]) -> pd.DataFrame:
    """One outcome for each decision: twice the same counts once, two that contradict each other count for nothing."""
    values = [LABEL, *also]
    first = pairs.drop_duplicates([_DECISION, *values])
    doubtful = first[_DECISION].duplicated(keep=False)
    twice = pairs[pairs.duplicated([_DECISION, *values])]
    key = REQUEST if REQUEST in pairs else _DECISION
    told.append(
        _finding(
            "outcomes.duplicate",
            f"{len(twice)} outcomes are there twice; each counts once" if len(twice) else "no outcome is there twice",
            rule,
            fired=Severity.WARN if len(twice) else None,
            rows=twice[key],
            step="look why the source repeats rows",
        )
    )
    contradicted = first[doubtful]
    told.append(
        _finding(
            "outcomes.conflicting",
            f"{contradicted[_DECISION].nunique()} decisions have outcomes that contradict each other; none counts"
            if len(contradicted)
            else "no outcome contradicts another",
            rule,
            fired=Severity.FAIL if len(contradicted) else None,
            rows=contradicted.drop_duplicates(_DECISION)[key],
            step="mend the source: a decision has one outcome",
        )
    )
    return first[~doubtful]


def _found(kept: pd.DataFrame, rule: Rule) -> Finding:
    old, known = int(kept[MATURE].sum()), int(kept[LABEL].notna().sum())
    after = f"{rule.delay.total_seconds() / 86_400:g} days"
    return Finding(
        check="outcomes.joined",
        outcome=Outcome.PASS if known else Outcome.INSUFFICIENT,
        subject=rule.source,
        message=f"{known} of {old} decisions that are {after} old have their outcome ({len(kept) - old} are younger)",
        measured=known / old if old else None,
        n=old,
        next_step="" if known else f"wait for labels, or see whether {rule.source!r} is about these decisions",
    )


def _finding(check: str, message: str, rule: Rule, *, fired: Severity | None, rows: Any, step: str) -> Finding:
    shown = tuple(dict.fromkeys(one if isinstance(one, int) else str(one) for one in rows.tolist()[: 4 * _SHOWN]))
    return Finding(
        check=check,
        outcome=Outcome.FAIL if fired else Outcome.PASS,
        severity=fired or Severity.FAIL,
        subject=rule.source,
        message=message,
        rows=shown[:_SHOWN] if fired else (),
        next_step=step if fired else "",
    )


def _number(value: Any) -> Any:
    """A label that a table with gaps has as 1.0, or a text file as "1"."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value
    return int(number) if number.is_integer() else number


def _key(values: pd.Series) -> pd.Series:
    """An entity's key as text: 7, 7.0 and "7" are the same."""
    return values.map(lambda value: str(_number(value))).where(values.notna())


def _naive(values: pd.Series) -> pd.Series:
    """Moments in UTC without a zone, as the service reads those of requests."""
    import pandas as pd

    moments = pd.to_datetime(values)
    plain = moments.dt.tz_convert("UTC").dt.tz_localize(None) if moments.dt.tz is not None else moments
    return plain.astype("datetime64[us]")
