"""What a gate gives the project's own tests, as pytest fixtures: real rows, the trained model, the running service.

pytest loads this module wherever mlops is installed. Outside of a gate a test that asks for one of these is skipped,
with the command that gives it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlops.adapters.pytest_plugin import GIVEN, MARKS

if TYPE_CHECKING:
    import pandas as pd

    from mlops.adapters.pytest_run import Given
    from mlops.contract import Contract
    from mlops.gates.asking import Predict
    from mlops.trial import Reply
    from mlops.workspace import Workspace


class NotGiven(Exception):
    """A test asks for what its gate does not have."""


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marks known, for projects that are strict about them."""
    for mark in sorted(set(MARKS.values())):
        gates = " and ".join(f"check-{on}" for on, name in MARKS.items() if name == mark)
        config.addinivalue_line(
            "markers", f"{mark}(*names): the test is for these alone; without it, for all ({gates})"
        )


@pytest.fixture
def mlops_subject() -> str:
    """The name of the source, or of the model, that is judged."""
    return _given("mlops_subject", "data", "model", "service").subject


@pytest.fixture
def mlops_rows() -> pd.DataFrame:
    """The source's table in check-data, the held-out rows in check-model; a copy for each test."""
    given = _given("mlops_rows", "data", "model")
    return _workspace().frame(given.rows).copy()


@pytest.fixture
def mlops_predictions() -> pd.DataFrame:
    """What the model says of the held-out rows: `prediction`, and `probability_<i>` for each class."""
    given = _given("mlops_predictions", "model")
    return _workspace().frame(given.predictions).copy()


@pytest.fixture(scope="session")
def mlops_predict() -> Predict:
    """A function from a frame of such rows to what the model says of each; on-demand features are computed anew."""
    given = _given("mlops_predict", "model")
    from mlops.adapters import models
    from mlops.gates.asking import Predict

    workspace = _workspace()
    file = workspace.objects.path(given.model)
    estimator = models.load(file, digest=given.model, trusted=given.config.package.trusted)
    _, computed = workspace.catalog.pinned(workspace.catalog.models[given.subject])
    return Predict(estimator, _contract(given), computed)


@pytest.fixture
def mlops_contract() -> Contract:
    """What the model reads and answers."""
    return _contract(_given("mlops_contract", "model", "service"))


@pytest.fixture(scope="session")
def mlops_ask() -> Callable[[Any], Reply]:
    """A function from a request to the service's answer: its `status`, `body` and `seconds`."""
    given = _given("mlops_ask", "service")
    from mlops.trial import asking

    return asking(given.url)


@pytest.fixture
def mlops_requests() -> list[dict[str, Any]]:
    """Golden requests, whose features are there."""
    return [dict(request) for request in _given("mlops_requests", "service").requests]


@pytest.fixture
def mlops_url() -> str:
    """Where the service answers."""
    return _given("mlops_url", "service").url


def _given(name: str, *gates: str) -> Given:
    """What the gate gives; the test is skipped where there is no gate, and did not run where it is another one's."""
    file = os.environ.get(GIVEN)
    commands = " or ".join(f"`mlops check-{on}`" for on in gates)
    if not file:
        pytest.skip(f"{name} comes from a gate: run {commands}")
    given = _read(file)
    if given.on not in gates:
        raise NotGiven(f"{name} comes from {commands}, and this is `mlops check-{given.on}`")
    return given


@cache
def _read(file: str) -> Given:
    import msgspec

    from mlops.adapters.pytest_run import Given

    return msgspec.json.decode(Path(file).read_bytes(), type=Given)


@cache
def _workspace() -> Workspace:
    from mlops.workspace import Workspace

    given = _read(os.environ[GIVEN])
    return Workspace(Path(given.root), given.config)


def _contract(given: Given) -> Contract:
    import msgspec

    from mlops.contract import Contract

    return msgspec.json.decode(given.contract, type=Contract)
