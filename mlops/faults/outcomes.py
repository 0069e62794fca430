"""Outcomes as they should be beside the decisions that they are about, and ones that cannot be believed."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from mlops.contract import Contract
from mlops.faults.bench import Bench
from mlops.faults.case import Case, Reaction, sound
from mlops.gates.outcomes import Rule, joined
from mlops.verdict import Finding

_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_DECIDED = 20


def cases(bench: Bench) -> Generator[Case]:
    """Twenty decisions of a week ago; each fault is about one of them, or about all."""
    contract = bench.contract
    right: Any = 1.0 if contract.task == "regression" else contract.classes[0]
    wrong: Any = 2.0 if contract.task == "regression" else contract.classes[1]
    ids = [f"r{n}" for n in range(_DECIDED)]
    judge = partial(_judged, contract)
    yield sound(partial(judge, ids, [right] * _DECIDED))
    yield Case(
        fault="one decision has two outcomes",
        check="outcomes.conflicting",
        judge=partial(judge, [*ids, "r0"], [right] * _DECIDED + [wrong]),
    )
    yield Case(
        fault="a row is there twice",
        check="outcomes.duplicate",
        judge=partial(judge, [*ids, "r0"], [right] * (_DECIDED + 1)),
        expected=Reaction.WARNS,
    )
    yield Case(
        fault="a request id comes again",
        check="outcomes.repeated",
        judge=partial(judge, ids, [right] * _DECIDED, asked=[*ids, "r0"]),
        expected=Reaction.WARNS,
    )
    yield Case(
        fault="a request has two rows, and its outcome says not which",
        check="outcomes.rows",
        judge=partial(judge, ids, [right] * _DECIDED, asked=[*ids, "r0"], row=1),
        expected=Reaction.WARNS,
    )
    yield Case(
        fault="outcomes of other requests alone",
        check="outcomes.joined",
        judge=partial(judge, ["x"], [right]),
    )
    if contract.task != "regression":
        yield Case(
            fault="a label that the model does not know",
            check="outcomes.label",
            judge=partial(judge, ids, ["no such label", *[right] * (_DECIDED - 1)]),
        )


def _judged(
    contract: Contract, ids: list[str], labels: list[Any], *, asked: list[str] | None = None, row: int = 0
) -> tuple[Finding, ...]:
    """What is found where `labels` have come for `ids`; `asked` are the requests, the last one's row is `row`."""
    import pandas as pd

    requests = asked or [f"r{n}" for n in range(_DECIDED)]
    decided = pd.DataFrame(
        {
            "at": pd.Series([_NOW - timedelta(days=8)] * len(requests), dtype="datetime64[us, UTC]"),
            "request_id": requests,
            "row": [0] * (len(requests) - 1) + [row],
            "arm": "live",
        }
    )
    outcomes = pd.DataFrame({"request_id": ids, contract.label: pd.Series(labels, dtype="object")})
    rule = Rule(source="outcomes", contract=contract, delay=timedelta(days=7))
    return joined(decided, outcomes, rule, now=_NOW)[1]
