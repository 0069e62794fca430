"""The trained model as a function over frames, for checks that ask it what it would say of other rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.contract import Contract, model_inputs
from mlops.declare import OnDemand
from mlops.serving.predictors import Prediction, answers

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


def answered(table: pd.DataFrame, said: Prediction) -> pd.DataFrame:
    """What was said of the rows: `prediction`, `probability_<i>` for each class, and `__row` where there is one."""
    import pandas as pd

    columns: dict[str, Any] = {"__row": table["__row"]} if "__row" in table else {}
    columns["prediction"] = said.values
    if said.probabilities is not None:
        columns |= {f"probability_{k}": column for k, column in enumerate(said.probabilities.T)}
    return pd.DataFrame(columns)


@dataclass(frozen=True, slots=True)
class Predict:
    """Called with a frame, it gives what the model says of each row, as the service would.

    A binary model gives the probability of the positive class, another classifier one for each class in their order,
    a regression its value; without probabilities it is the label. On-demand features are computed anew from their
    inputs, as a changed amount changes what is derived from it.
    """

    estimator: Any
    contract: Contract
    computed: Sequence[OnDemand]

    def __call__(self, frame: pd.DataFrame) -> NDArray[np.generic]:
        """The answers for the rows of `frame`, in order."""
        table = frame.copy()
        for one in self.computed:
            inputs = [name.partition(".")[2] or name for name in one.inputs]
            if all(name in table for name in inputs):
                table[one.name] = one(*(table[name] for name in inputs)).set_axis(table.index)
        said = answers(self.estimator, model_inputs(table, self.contract), self.contract)
        if said.probabilities is None:
            return said.values
        return said.probabilities[:, 1] if self.contract.task == "binary" else said.probabilities
