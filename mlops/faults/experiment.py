"""An experiment whose challenger is better, and ones that must not end with it live."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING

from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.gates.experiment import Question, judged
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

_UNITS = 6000
_QUESTION = Question(metric="error", better="lower", effect=0.05, level=0.05, share=0.5)


def cases(bench: Bench) -> Generator[Case]:
    """Of 6,000 customers half are the challenger's, which errs in 10 % where the live release errs in 20 %."""
    judge = partial(_judged, bench.model.name)
    yield sound(partial(judge, error=0.1))
    yield Case(fault="it errs more", check="experiment.effect", judge=partial(judge, error=0.3))
    yield Case(fault="it is hardly better", check="experiment.effect", judge=partial(judge, error=0.19))
    yield Case(
        fault="a fifth of its customers is missing",
        check="experiment.assignment",
        judge=partial(judge, error=0.1, missing=0.2),
    )
    yield Case(
        fault="a fifth of its labels is lost", check="experiment.labels", judge=partial(judge, error=0.1, lost=0.2)
    )


def _judged(subject: str, *, error: float, missing: float = 0.0, lost: float = 0.0) -> tuple[Finding, ...]:
    return judged(_rows(error, missing, lost), _QUESTION, over=False, subject=subject).findings


def _rows(error: float, missing: float, lost: float) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    unit = np.arange(_UNITS)
    ours = unit % 2 == 0
    value = (random.random(_UNITS) < np.where(ours, error, 0.2)).astype(float)
    value[ours & (random.random(_UNITS) < lost)] = np.nan
    rows = pd.DataFrame({"challenger": ours, "drawn": ours, "unit": unit, "value": value})
    kept: pd.DataFrame = rows[~(ours & (random.random(_UNITS) < missing))]
    return kept
