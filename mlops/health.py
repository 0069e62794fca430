"""One line of what `mlops doctor` looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Health = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that was looked at: how it is, what was found, and how to mend it (empty where all is well)."""

    health: Health
    what: str
    found: str
    fix: str = ""
