"""Golden requests: what a release was asked when it was packaged, and what it answered then."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mlops.release import GOLDEN

TOLERANCE = 1e-4
"""Largest difference of a probability, or relative difference of a regression's value, between two machines."""


class Golden(Struct, frozen=True, kw_only=True):
    """A request, the stored features it had, and its answer (without release and request id)."""

    request: dict[str, Any]
    stored: dict[str, Any] = {}
    answer: dict[str, Any]


def read_golden(payload: Path) -> tuple[Golden, ...]:
    """The golden requests that travel with a release."""
    return msgspec.json.decode((payload / GOLDEN).read_bytes(), type=tuple[Golden, ...])


def differences(
    golden: Sequence[Golden], answers: Sequence[Mapping[str, Any]], tolerance: float = TOLERANCE
) -> list[str]:
    """One sentence for each golden request that is answered otherwise; empty when all agree."""
    if len(golden) != len(answers):
        return [f"{len(golden)} golden requests got {len(answers)} answers"]
    return [
        f"golden request {i}: expected {one.answer}, got { {k: got.get(k) for k in one.answer} }"
        for i, (one, got) in enumerate(zip(golden, answers, strict=True))
        if not _agree(one.answer, got, tolerance)
    ]


def _agree(expected: Any, got: Any, tolerance: float) -> bool:
    if isinstance(expected, Mapping):
        return isinstance(got, Mapping) and all(k in got and _agree(v, got[k], tolerance) for k, v in expected.items())
    if isinstance(expected, float) and isinstance(got, int | float):
        return math.isfinite(got) and abs(expected - got) <= tolerance * max(1.0, abs(expected))
    return bool(expected == got)
