"""What a command asks the pipeline for."""

from __future__ import annotations

from dataclasses import dataclass

from mlops.declare import FeatureView, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for: these models and views, up to this step, deployed there."""

    command: str
    models: tuple[Model, ...] = ()
    views: tuple[FeatureView, ...] = ()
    families: tuple[str, ...] = ()  # of what is live, where it is monitored
    until: str = "deploy"
    environment: str | None = None
    environments: tuple[str, ...] = ()  # where views are materialized, or what is live is monitored
    reason: str = ""
    anew: frozenset[str] = frozenset()  # steps that are computed again, whatever is known
    allow_dirty: bool = False  # whether unsaved changes may go where they are refused
