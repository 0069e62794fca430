"""How many labels are wrong: read off where a model is surest, because there the classes do not overlap.

A label that contradicts an out-of-fold answer is either wrong or unlucky: classes overlap, and an honest table of
loans has one default in ten where the model expects none. Overlap thins out as the model gets surer; wrong labels do
not, being wrong for reasons that the inputs do not show. So the share of contradicted labels among the surest rows
estimates the share of wrong labels: these rows are the anchor points of Liu and Tao (2016) and Patrini et al. (2017).
Where the answers are never sure the two cannot be told apart, and nothing is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]

LEAST_ROWS = 200
SUREST = 0.1
"""The share of the rows that count as anchors."""

_LEAST_ANCHORS = 100
_APART = 0.08
"""Classes lie apart where the surer half of the rows is contradicted less than this."""

_FLAT = 0.5
"""Contradictions do not thin out where the surest rows have more than this part of the share of all rows."""

EXTREME = 8.0
"""Robust deviations from which on a number is called extreme; honest tables have one in a thousand at most."""

_SLICES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradicted:
    """The share of labels that out-of-fold answers contradict: among the surest rows, with interval, and elsewhere."""

    share: float
    interval: tuple[float, float]
    anchors: int
    surer_half: float
    overall: float

    @property
    def decided(self) -> bool:
        """Whether wrong labels and overlapping classes can be told apart."""
        return self.surer_half <= _APART or self.share > _FLAT * self.overall


def contradicted(codes: Positions, probabilities: Floats) -> Contradicted:
    """Of labels as codes, and out-of-fold probabilities of shape (rows, classes)."""
    wrong = probabilities.argmax(axis=1) != codes
    surest = np.argsort(-probabilities.max(axis=1), kind="stable")
    anchors = min(len(codes) // 2, max(_LEAST_ANCHORS, round(SUREST * len(codes))))
    hits = int(wrong[surest[:anchors]].sum())
    return Contradicted(
        share=hits / anchors,
        interval=wilson(hits, anchors),
        anchors=anchors,
        surer_half=float(wrong[surest[: len(codes) // 2]].mean()),
        overall=float(wrong.mean()),
    )


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), sound also for few hits."""
    z = 1.96
    centre, spread = hits + z * z / 2, z * np.sqrt(hits * (of - hits) / of + z * z / 4)
    return float(max(0.0, (centre - spread) / (of + z * z))), float(min(1.0, (centre + spread) / (of + z * z)))


def deviations(y: Floats, predicted: Floats) -> Floats:
    """How far each number is from its out-of-fold prediction, in robust standard deviations of its like.

    The spread is 1.4826 times the median absolute deviation (Rousseeuw and Croux 1993) among rows with about the same
    prediction, because large amounts vary more than small ones; and never less than half of the whole table's.
    """
    residuals = y - predicted
    whole = _spread(residuals)
    edges = np.quantile(predicted, np.linspace(0, 1, _SLICES + 1)[1:-1])
    slices = np.digitize(predicted, edges)
    scaled = np.zeros(len(y))
    for number in np.unique(slices):
        rows = slices == number
        scale = max(_spread(residuals[rows]), whole / 2)
        centred = np.abs(residuals[rows] - np.median(residuals[rows]))
        scaled[rows] = np.divide(centred, scale, out=np.zeros(centred.size), where=scale > 0)
    return scaled


def _spread(residuals: Floats) -> float:
    return 1.4826 * float(np.median(np.abs(residuals - np.median(residuals))))
