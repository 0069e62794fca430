"""A release in memory, ready to answer: verified, loaded, and found to answer its golden requests as before."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from mlops.contract import Contract
from mlops.errors import DeploymentFailed, MlopsError
from mlops.release import BENTO, CONTRACT, PAYLOAD
from mlops.serving.golden import differences, read_golden
from mlops.serving.integrity import verify
from mlops.serving.isolation import ReleaseCode
from mlops.serving.predictors import Columns, Prediction, load_predictor
from mlops.serving.refusal import NotFinite, Refused
from mlops.serving.requests import Decoder, Row
from mlops.serving.table import Table, compute, kinds, model_columns, request_columns, stored_columns
from mlops.stores.protocol import EXPIRED, MISSING
from mlops.stores.reading import open_reader

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 10_000
_FEW = 16

Stored = Sequence[Mapping[str, Any]]
"""For each row the stored features by their short names."""

Tell = Callable[[str, int, int, int], None]
"""Called with a view and how many of its values a request found, missed, and found too old."""


class Decided(NamedTuple):
    """Answers, one for each row, and the table that they were computed from: these rows of it begin at `start`.

    The table has the request's fields, the stored features as they were read, and those on demand.
    """

    answers: list[dict[str, Any]]
    table: Table
    start: int = 0


class LoadedRelease:
    """One release: `decoder` reads its requests, `answer` predicts. Made by `load_release` or `load_payload`."""

    def __init__(self, *, release: str, payload: Path, source: Path, online: Path | None) -> None:
        self.release = release
        self.contract = msgspec.json.decode((payload / CONTRACT).read_bytes(), type=Contract)
        _demand_distinct(self.contract)
        self.decoder = Decoder(self.contract, most_rows=MOST_ROWS)
        self.golden = read_golden(payload)
        self._predictor = load_predictor(payload, self.contract)
        self._online = open_reader(online, self.contract) if online is not None else None
        self._code = ReleaseCode(source) if self.contract.computed else None
        self._computed: list[Callable[..., Any]] = [
            self._code.function(one.module, one.name) for one in self.contract.computed if self._code is not None
        ]
        self._kinds = kinds(self.contract)
        self._encode = _ENCODERS[self.contract.task]

    @property
    def slow(self) -> bool:
        """Whether one row takes milliseconds, so that it must not be computed in the event loop."""
        asks = self._online is not None and self._online.slow and bool(self.contract.stored)
        return asks or bool(self._computed) or not self._predictor.fast

    def answer(
        self, rows: Sequence[Row], stored: Stored | None = None, tell: Tell | None = None
    ) -> list[dict[str, Any]]:
        """One answer per row: `prediction`, `probability` or `probabilities`, and `release`; never a non-finite number.

        `stored` stands in for the online store; `tell` hears what was found there.
        Raises Refused (422) when the model gives no finite number.
        """
        return self.decide(rows, stored, tell).answers

    def decide(self, rows: Sequence[Row], stored: Stored | None = None, tell: Tell | None = None) -> Decided:
        """The answers as `answer` gives them, with all that the model was given."""
        table: Table = request_columns(rows, self.contract)
        if self.contract.stored:
            values = self.read_stored(rows, tell) if stored is None else stored
            table.update(stored_columns(values, self.contract))
        return Decided(self._encode(self._predict(table), self.contract, self.release), table)

    def predict_table(self, frame: pd.DataFrame) -> Prediction:
        """What the model says of many rows at once; `frame` has the request's fields and the stored features."""
        return self._predictor.predict(self._columns(self._request(frame)))

    def inputs(self, frame: pd.DataFrame) -> pd.DataFrame:
        """What the model would be given for these rows: its columns, in order, on-demand features computed."""
        import pandas as pd

        return pd.DataFrame(self._columns(self._request(frame)))[[c.name for c in self.contract.columns]]

    def given(self, rows: Sequence[Row]) -> Columns:
        """What the model is given for requests: their fields, the stored features as they are now, those on demand."""
        table: Table = request_columns(rows, self.contract)
        if self.contract.stored:
            table.update(stored_columns(self.read_stored(rows), self.contract))
        return self._columns(table)

    def _request(self, frame: pd.DataFrame) -> Table:
        names = [*(field.name for field in self.contract.fields), *(one.name for one in self.contract.stored)]
        return {name: _listed(frame[name]) for name in names}

    def _predict(self, table: Table) -> Prediction:
        self._compute(table)
        return self._predictor.predict(table if self._predictor.fast else model_columns(table, self.contract))

    def _columns(self, table: Table) -> Columns:
        self._compute(table)
        return model_columns(table, self.contract)

    def _compute(self, table: Table) -> None:
        for one, function in zip(self.contract.computed, self._computed, strict=True):
            table[one.name] = compute(one, function, table, self._kinds)

    def read_stored(
        self, rows: Sequence[Row], tell: Tell | None = None, *, now: float | None = None
    ) -> list[dict[str, Any]]:
        """The stored features of each row by short name, as of `now` (None: this moment); missing ones are None."""
        found: list[dict[str, Any]] = [{} for _ in rows]
        if self._online is None:
            return found
        moment = time.time() if now is None else now
        for view, entity in dict.fromkeys((s.view, s.entity) for s in self.contract.stored):
            values = self._online.read(view, [row[entity] for row in rows], moment)
            if tell is not None:
                missing, expired = sum(v is MISSING for v in values), sum(v is EXPIRED for v in values)
                tell(view, len(values) - missing - expired, missing, expired)
            wanted = [(s.name, s.column) for s in self.contract.stored if (s.view, s.entity) == (view, entity)]
            for row, value in zip(found, values, strict=True):
                row.update((name, value.get(column)) for name, column in wanted)
        return found

    def check(self) -> None:
        """Answer the golden requests, which also warms all that is lazy; DeploymentFailed when an answer differs."""
        wrong = self._differences()
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            name = self.release or self.contract.model
            raise DeploymentFailed(
                f"{name} does not answer its golden requests as it did when it was packaged: {wrong[0]}{more}",
                next_step="make the release again with `mlops run`; compare its libraries' versions with those here",
            )

    def _differences(self) -> list[str]:
        if not self.golden:
            return ["there is no golden request"]
        try:
            rows = self.decoder.convert([one.request for one in self.golden])
            return differences(self.golden, self.answer(rows, [one.stored for one in self.golden]))
        except Refused as refused:
            return [f"golden request refused: {refused.reason}"]

    def close(self) -> None:
        """Forget the release's code."""
        if self._code is not None:
            self._code.close()


def _demand_distinct(contract: Contract) -> None:
    """DeploymentFailed where a field of the request is called as a stored or on-demand feature."""
    if contract.doubles:
        raise DeploymentFailed(
            f"{contract.model} reads two columns called {contract.doubles[0]!r}: a field of the request, a stored "
            "feature and an on-demand one must differ in name",
            next_step="give the feature another name in a new version, then `mlops run`",
        )


def load_release(releases: Path, release: str, online: Path | None) -> LoadedRelease:
    """The release of that name, verified byte for byte, loaded and self-checked; DeploymentFailed otherwise."""
    folder = releases / release
    verify(folder)
    return load_payload(folder / PAYLOAD, folder / BENTO / "src", release=release, online=online)


def load_payload(payload: Path, source: Path, *, release: str, online: Path | None) -> LoadedRelease:
    """A release out of its payload folder and the folder of its source, self-checked; DeploymentFailed otherwise."""
    try:
        loaded = LoadedRelease(release=release, payload=payload, source=source, online=online)
        loaded.check()
    except DeploymentFailed:
        raise
    except Exception as error:
        # Whatever a release's file or code raises, the answer is the same: it must not get a request.
        reason = error.message if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}"
        raise DeploymentFailed(
            f"{release} cannot be loaded: {reason}", next_step="make it again: `mlops run`"
        ) from error
    return loaded


def _listed(values: pd.Series) -> list[Any]:
    """The values as a request would bring them: Python's own, None where one is missing."""
    return [None if gone else value for value, gone in zip(values.tolist(), values.isna().tolist(), strict=True)]


def _binary(prediction: Prediction, contract: Contract, release: str) -> list[dict[str, Any]]:
    if prediction.probabilities is None:
        return _labels(prediction, contract, release)
    chances = _finite(prediction.probabilities)[:, 1].tolist()
    labels = prediction.values.tolist()
    return [
        {"prediction": label, "probability": chance, "release": release}
        for label, chance in zip(labels, chances, strict=True)
    ]


def _multiclass(prediction: Prediction, contract: Contract, release: str) -> list[dict[str, Any]]:
    if prediction.probabilities is None:
        return _labels(prediction, contract, release)
    names = [str(name) for name in contract.classes]
    chances = _finite(prediction.probabilities).tolist()
    labels = prediction.values.tolist()
    return [
        {"prediction": label, "probabilities": dict(zip(names, row, strict=True)), "release": release}
        for label, row in zip(labels, chances, strict=True)
    ]


def _labels(prediction: Prediction, _: Contract, release: str) -> list[dict[str, Any]]:
    return [{"prediction": label, "release": release} for label in prediction.values.tolist()]


def _regression(prediction: Prediction, _: Contract, release: str) -> list[dict[str, Any]]:
    return [{"prediction": value, "release": release} for value in _finite(prediction.values).ravel().tolist()]


def _finite(values: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    array = np.asarray(values, dtype=np.float64)
    if array.size <= _FEW and all(map(math.isfinite, array.ravel().tolist())):
        return array  # numpy's own way costs a single row more than the model
    good = np.isfinite(array)
    if not good.all():
        row = int(np.argmin(good.reshape(len(array), -1).all(axis=1)))
        raise NotFinite(422, "the model gives no finite number for these values", row=row)
    return array


_ENCODERS: dict[str, Callable[[Prediction, Contract, str], list[dict[str, Any]]]] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "regression": _regression,
}
