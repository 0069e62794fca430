"""Decisions of an environment with what came of them: the source of outcomes that a model's settings name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from mlops import decisions
from mlops.adapters import sources
from mlops.contract import Contract
from mlops.declare import duration
from mlops.errors import ConfigError, NothingToDo, nearest
from mlops.gates import outcomes as gate
from mlops.gates.outcomes import Rule
from mlops.release import CONTRACT, PAYLOAD
from mlops.serving.decisions import FOLDER
from mlops.verdict import Finding
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Decisions, one a row, as `decisions.read` gives them, and `label` (missing where none is known), `mature`.

    `findings` say what was wrong with the outcomes: repeated, contradictory, unknown ones, and how many there are.
    """

    rows: pd.DataFrame
    findings: tuple[Finding, ...]


def joined(
    workspace: Workspace,
    environment: str,
    release: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    now: datetime | None = None,
    also: Sequence[str] = (),
) -> Outcomes:
    """What an environment decided from `since` on and before `until`, with outcomes as they are known at `now`.

    All releases and arms of the family of `release`, whose contract says what labels there are and by which keys they
    are joined. `also` are further columns of the outcomes. How they are joined, and from when on a decision counts, is
    in `gates.outcomes`. ConfigError where the family has no source of outcomes, or one that cannot be joined.
    """
    import pandas as pd

    rule = rule_of(workspace, release)
    family = workspace.catalog.model(rule.contract.model).family
    log = decisions.read(workspace.environments / environment / family / FOLDER, since=since, until=until)
    source = workspace.config.sources[rule.source]
    try:
        told = sources.read(source, name=rule.source, root=workspace.root).rows.to_pandas()
    except NothingToDo:  # none has come yet
        told = pd.DataFrame(columns=[gate.REQUEST, rule.contract.label, *also])
    rows, findings = gate.joined(log.to_pandas(), told, rule, now=now or datetime.now(UTC), also=also)
    return Outcomes(rows=rows, findings=findings)


def rule_of(workspace: Workspace, release: str) -> Rule:
    """How outcomes of a release's family are joined; ConfigError where no source of them is named."""
    place = workspace.releases / release / PAYLOAD / CONTRACT
    contract = msgspec.json.decode(place.read_bytes(), type=Contract)
    model = workspace.catalog.model(contract.model)
    settings = workspace.config.settings(model.family, model.name)
    if settings.outcomes is None:
        raise ConfigError(
            f"nobody knows what came of the decisions of {model.family}",
            next_step=f'name the source of labels: [tool.mlops.models.{model.family}] outcomes = "SOURCE"',
        )
    if settings.outcomes not in workspace.config.sources:
        raise ConfigError(
            f"[tool.mlops.models.{model.family}] outcomes names an unknown source {settings.outcomes!r}",
            next_step=nearest(settings.outcomes, workspace.config.sources),
        )
    return Rule(
        source=settings.outcomes,
        contract=contract,
        delay=model.label_delay,
        within=duration(settings.outcomes_within),
    )
